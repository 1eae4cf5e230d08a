import { type Db, findHost, type ProfileRow, renewMove } from '@porthole/db'

/** A move that this gateway keeps its own. */
export type Hold = {
  /** Aborted as soon as the move is over, or may be: nothing is written any more. */
  signal: AbortSignal
  /** @throws when the move may be somebody else's by now, though no timer has had its turn to say so */
  check(): void
  release(): void
}

/**
 * Renews a move until it is released.
 *
 * @param claimedAt by `performance.now()`, from before the claim was asked for: by this clock the move lapses no later
 *   than by the database's, whether that can be reached or not
 * @param ms how long a claim and each renewal last; a third of it is how soon a host that has gone silent is noticed
 */
export const holdMove = (db: Db, claimed: ProfileRow, claimedAt: number, ms: number): Hold => {
  const cut = new AbortController()
  let goodUntil = claimedAt + ms

  const lapse = () => cut.abort(new Error('the move could not be renewed in time'))
  let lapsing = setTimeout(lapse, Math.max(0, goodUntil - performance.now()))

  /** A host that has vanished from the network ends no connection: its silence has to end the move, for its owner's sake. */
  const isStillGood = async (): Promise<boolean> => {
    const hosts = await Promise.all([findHost(db, claimed.hostId), findHost(db, claimed.movingTo ?? '')])
    return hosts.every(host => host?.live) && (await renewMove(db, claimed, ms))
  }

  let isRenewing = false
  let isReleased = false
  const renew = async () => {
    if (isRenewing || cut.signal.aborted) return
    isRenewing = true
    const askedAt = performance.now()
    try {
      const isGood = await isStillGood()
      if (isReleased) return
      if (!isGood) return cut.abort(new Error('a host has gone silent, or the move is not ours any more'))
      goodUntil = askedAt + ms
      clearTimeout(lapsing)
      lapsing = setTimeout(lapse, Math.max(0, goodUntil - performance.now()))
    } catch {
      // Tried again until it lapses.
    } finally {
      isRenewing = false
    }
  }
  const renewal = setInterval(renew, ms / 3)

  return {
    signal: cut.signal,
    check: () => {
      if (performance.now() >= goodUntil) lapse()
      cut.signal.throwIfAborted()
    },
    release: () => {
      isReleased = true
      clearInterval(renewal)
      clearTimeout(lapsing)
    },
  }
}
