import type { RuntimeRow } from '@porthole/db'
import { Roster } from '@porthole/protocol'
import type { Logger } from 'pino'
import type { Limits } from '../config.ts'
import { within } from '../within.ts'
import type { Door, Visit } from './access.ts'
import { createTally, demandRoom, type OpenLimits } from './open-limits.ts'

/** Something that is open, and on what it depends. */
export type OpenSocket = Pick<Visit, 'tenant' | 'subject' | 'tokenId' | 'issuerId' | 'expiresAt' | 'access'> & {
  runtimeId: string
  /** What it is open to: a door of the edge, or what happens to the runtime. */
  door: Door | 'events'
  kind: 'socket' | 'request'
  /** Ends it at once. */
  close(): void
}

/** One of them, as it is told to those who may know. */
export type OpenEntry = Pick<OpenSocket, 'subject' | 'access' | 'door' | 'kind'> & {
  /** Milliseconds since the epoch. */
  openedAt: number
}

export type Place = {
  /** It leads to that generation now, and ends with it. Before, it ends with its right alone: the runtime may be starting. */
  leadsTo(generation: number): void
  /** It has ended by itself. */
  leave(): void
}

/**
 * Every socket, and every request under way, of this gateway's edge: counted, and closed when its token ends, its tenant is
 * shut out, its runtime stops or moves, or its time is over.
 */
export type OpenSockets = {
  /** @throws Problem `too-many-open`, `gateway-full` */
  enter(socket: OpenSocket): Place
  count(): number
  /** What is open to a runtime, oldest first. */
  list(runtimeId: string): OpenEntry[]
  /** Looks again at all whose right may have ended. */
  checkRights(): void
  /** Looks again at the sockets of one runtime. */
  checkRuntime(id: string): void
  close(): void
}

const tickMs = 1000
/** Milliseconds after which a look that has not ended is given up: a query on a connection that died may never end. */
const stuckMs = 5000

type Standing = OpenSocket & { generation: number | undefined; openedAt: number; hasLeft: boolean }

/**
 * @param statesOf how runtimes are now; those that it leaves out are gone
 * @param now milliseconds since the epoch
 */
export const createOpenSockets = ({
  statesOf,
  isWelcome,
  limits,
  log,
  now,
}: {
  statesOf(ids: string[]): Promise<Pick<RuntimeRow, 'id' | 'state' | 'generation'>[]>
  isWelcome(socket: OpenSocket): boolean
  limits: OpenLimits & Pick<Limits, 'socketAgeMs'>
  log: Logger
  now(): number
}): OpenSockets => {
  const byRuntime = new Map<string, Roster<Standing>>()
  const byTenant = createTally()
  let size = 0

  const end = (sockets: readonly OpenSocket[], why: string) => {
    for (const socket of sockets) {
      log.info({ runtime: socket.runtimeId, tenant: socket.tenant, why }, 'edge socket cut')
      socket.close()
    }
  }
  const endThose = (why: string, isOver: (socket: Standing) => boolean) => {
    for (const sockets of byRuntime.values()) end(sockets.all().filter(isOver), why)
  }
  const checkRights = () => endThose('no longer allowed', socket => !isWelcome(socket))
  const checkAges = () => {
    const { socketAgeMs } = limits
    if (socketAgeMs > 0) endThose('open for too long', ({ openedAt }) => now() - openedAt >= socketAgeMs)
  }
  /**
   * Judges what led to a generation when the look began. What was found its way meanwhile, having been woken say, leads
   * to a runtime that the look may have seen asleep.
   */
  const checkRuntimes = async (ids: string[]) => {
    const asked = ids.flatMap(id =>
      (byRuntime.get(id)?.all() ?? []).flatMap(socket =>
        socket.generation === undefined ? [] : [{ socket, generation: socket.generation }],
      ),
    )
    if (asked.length === 0) return
    const found = await within(stuckMs, statesOf([...new Set(asked.map(({ socket }) => socket.runtimeId))]))
    const states = new Map(found.map(row => [row.id, row]))
    for (const { socket, generation } of asked) {
      const now = states.get(socket.runtimeId)
      if (now && generation === now.generation && keepsSockets.has(now.state)) continue
      if (!socket.hasLeft && socket.generation === generation) end([socket], `runtime is ${now?.state ?? 'gone'}`)
    }
  }

  /** Of which runtimes the next look is. There is one look at a time, so that a slow database has no more to do. */
  const wanted = new Set<string>()
  let isLooking = false
  const look = async () => {
    isLooking = true
    while (wanted.size > 0) {
      const ids = [...wanted]
      wanted.clear()
      // A database that does not answer closes nothing: views outlive its restart.
      await checkRuntimes(ids).catch(error => log.debug({ err: error }, 'open sockets could not be checked'))
    }
    isLooking = false
  }
  const check = (ids: Iterable<string>) => {
    for (const id of ids) wanted.add(id)
    if (!isLooking) void look()
  }
  const timer = setInterval(() => {
    checkRights()
    checkAges()
    check(byRuntime.keys())
  }, tickMs)

  return {
    enter: socket => {
      const { runtimeId, tenant } = socket
      const sockets = byRuntime.get(runtimeId) ?? new Roster()
      demandRoom(limits, { owner: sockets.size, tenant: byTenant.of(tenant), all: size })
      const standing: Standing = { ...socket, generation: undefined, openedAt: now(), hasLeft: false }
      const place = sockets.enter(standing)
      byRuntime.set(runtimeId, sockets)
      byTenant.add(tenant, 1)
      size += 1
      return {
        leadsTo: generation => {
          standing.generation = generation
        },
        leave: () => {
          if (!sockets.leave(place)) return
          standing.hasLeft = true
          size -= 1
          byTenant.add(tenant, -1)
          if (sockets.size === 0) byRuntime.delete(runtimeId)
        },
      }
    },
    count: () => size,
    list: runtimeId =>
      (byRuntime.get(runtimeId)?.all() ?? [])
        .map(({ subject, access, door, kind, openedAt }) => ({ subject, access, door, kind, openedAt }))
        .sort((a, b) => a.openedAt - b.openedAt),
    checkRights,
    checkRuntime: id => {
      if (byRuntime.has(id)) check([id])
    },
    close: () => clearInterval(timer),
  }
}

/** What is frozen answers nothing: its sockets close rather than hang, and who connects anew wakes it. */
const keepsSockets: ReadonlySet<string> = new Set(['running'])
