/** What is kept for a peer, and ends in one of two ways: after what is under way, or at once. */
export interface Kept {
  close(): Promise<unknown>
  destroy(): Promise<unknown>
}

export interface Peers<T extends Kept> {
  /** What is kept for a peer with just this certificate; made now when there is none. @throws what making it throws */
  of(origin: string, certificate: string): T
  /** Ends all of it at once. */
  destroy(): Promise<void>
}

/**
 * Connections per peer. They are let go when the peer is to have another certificate, when it has not been asked for
 * during `idleMs`, or when `most` others have been asked for since.
 * @param now milliseconds, of any beginning
 */
export function createPeers<T extends Kept>(
  make: (certificate: string) => T,
  { most = 4096, idleMs = 300_000, now = () => performance.now() } = {},
): Peers<T> {
  /** The one asked for last is last. */
  const peers = new Map<string, { certificate: string; kept: T; askedAt: number }>()
  const closing = new Set<T>()

  const letGo = (origin: string, kept: T): void => {
    peers.delete(origin)
    closing.add(kept)
    const forget = () => closing.delete(kept)
    kept.close().then(forget, forget)
  }

  const letOldGo = (): void => {
    for (const [origin, { kept, askedAt }] of peers) {
      if (peers.size <= most && now() - askedAt < idleMs) break
      letGo(origin, kept)
    }
  }

  return {
    of(origin, certificate) {
      const found = peers.get(origin)
      const kept = found?.certificate === certificate ? found.kept : make(certificate)
      if (found && found.kept !== kept) letGo(origin, found.kept)
      peers.delete(origin)
      peers.set(origin, { certificate, kept, askedAt: now() })
      letOldGo()
      return kept
    },
    async destroy() {
      const all = [...[...peers.values()].map(({ kept }) => kept), ...closing]
      peers.clear()
      await Promise.all(all.map(kept => kept.destroy()))
    },
  }
}
