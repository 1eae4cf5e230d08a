import { type Db, listRuntimeStates } from '@porthole/db'
import type { Logger } from 'pino'
import type { Caller } from '../tokens/caller.ts'

/** An open socket, and on what it depends. */
export type OpenSocket = Pick<Caller, 'tenant' | 'tokenId' | 'expiresAt'> & {
  runtimeId: string
  generation: number
  /** Ends it at once. */
  close(): void
}

/** Every open socket of this gateway: closed when its token ends, its tenant is shut out, or its runtime stops or moves. */
export type OpenSockets = {
  /** @returns what to call when it has ended by itself */
  add(socket: OpenSocket): () => void
  count(): number
  /** Looks again at all whose right may have ended. */
  checkRights(): void
  /** Looks again at the sockets of one runtime. */
  checkRuntime(id: string): void
  close(): void
}

const tickMs = 1000

export const createOpenSockets = (db: Db, isWelcome: (socket: OpenSocket) => boolean, log: Logger): OpenSockets => {
  const byRuntime = new Map<string, Set<OpenSocket>>()
  let size = 0

  const end = (sockets: Iterable<OpenSocket>, why: string) => {
    for (const socket of [...sockets]) {
      log.info({ runtime: socket.runtimeId, tenant: socket.tenant, why }, 'edge socket cut')
      socket.close()
    }
  }
  const checkRights = () => {
    for (const sockets of byRuntime.values())
      end(
        [...sockets].filter(socket => !isWelcome(socket)),
        'no longer allowed',
      )
  }
  const checkRuntimes = async (ids: string[]) => {
    if (ids.length === 0) return
    const states = new Map((await listRuntimeStates(db, ids)).map(row => [row.id, row]))
    for (const id of ids) {
      const now = states.get(id)
      const left = [...(byRuntime.get(id) ?? [])].filter(
        socket => now === undefined || socket.generation !== now.generation || !keepsSockets.has(now.state),
      )
      end(left, `runtime is ${now?.state ?? 'gone'}`)
    }
  }
  const check = (ids: string[]) => {
    // A database that does not answer closes nothing: views outlive its restart.
    checkRuntimes(ids).catch(error => log.debug({ err: error }, 'open sockets could not be checked'))
  }
  const timer = setInterval(() => {
    checkRights()
    check([...byRuntime.keys()])
  }, tickMs)

  return {
    add: socket => {
      const sockets = byRuntime.get(socket.runtimeId) ?? new Set()
      byRuntime.set(socket.runtimeId, sockets.add(socket))
      size += 1
      return () => {
        if (!sockets.delete(socket)) return
        size -= 1
        if (sockets.size === 0 && byRuntime.get(socket.runtimeId) === sockets) byRuntime.delete(socket.runtimeId)
      }
    },
    count: () => size,
    checkRights,
    checkRuntime: id => {
      if (byRuntime.has(id)) check([id])
    },
    close: () => clearInterval(timer),
  }
}

/** What is frozen answers nothing: its sockets close rather than hang, and who connects anew wakes it. */
const keepsSockets: ReadonlySet<string> = new Set(['running'])
