import { findHost } from '@porthole/db'
import { type Heartbeat, heartbeat, type RuntimeFacts } from '@porthole/protocol'
import { gatherBeats } from '../hosts/beats.ts'
import { GatherFull } from '../hosts/beats-gather.ts'
import { createHostTokens, NotItsOwn } from '../hosts/beats-tokens.ts'
import { TurnsTaken } from '../hosts/beats-turns.ts'
import { type Removals, reconcile } from '../hosts/reconcile.ts'
import type { House } from '../house.ts'
import { Problem } from '../problem.ts'
import { bearerOf } from '../tokens/caller.ts'
import { createRouter } from './openapi.ts'
import { tellTime } from './tell-time.ts'

const heartbeatMs = 5000

/** In the same words for a host that was removed: nobody learns which hosts there are. */
const notItsOwn = (cause?: unknown) =>
  new Problem('unauthorized', { detail: 'there is no such host, or the token is not its own', cause })

const toProblem = (error: unknown): unknown => {
  if (error instanceof NotItsOwn) return notItsOwn(error)
  // The database takes fewer than come: the host tries again in a moment.
  if (error instanceof GatherFull || error instanceof TurnsTaken)
    return new Problem('database-unavailable', { retryAfterSeconds: 2, cause: error })
  return error
}

/** `POST /v1/hosts/:id/heartbeat`, for agents: how a host is, and what it is to do about what it has. */
export const heartbeatRoutes = (house: House) => {
  const app = createRouter()
  const { db } = house.database
  const tokens = createHostTokens({ publicKeyOf: async id => (await findHost(db, id))?.publicKey, now: house.now })
  const beats = gatherBeats(db)

  /** What a host is to do about its containers; undefined when it was removed: then nothing it says moves a row. */
  const compare = async (id: string, runtimes: RuntimeFacts[]): Promise<Removals | undefined> => {
    const arrivedAt = performance.now()
    const isWell = await beats.isWell(id, runtimes)
    if (isWell === undefined) return undefined
    return isWell
      ? { remove: [], unknown: [] }
      : reconcile(db, house.log, id, runtimes, () => performance.now() - arrivedAt)
  }

  /** @returns what the host is to do; undefined when it was removed */
  const take = async (id: string, said: Heartbeat): Promise<Partial<Removals> | undefined> => {
    const { capacity, load, diskFreeBytes = null, engineVersion, images, labels, runtimes } = said
    // Null is a fault on the host, absent is nothing new: neither says that anything is gone. Before the host counts as
    // live again: what it still has keeps its room, ahead of those who wait for some.
    const removals = runtimes ? await compare(id, runtimes) : {}
    if (!removals) return undefined
    const isMember = await beats.record(id, { ...capacity, load, diskFreeBytes, engineVersion, images, labels })
    return isMember ? removals : undefined
  }

  // A host whose clock is wrong is refused, and learns the right time from just that.
  app.post('/v1/hosts/:id/heartbeat', tellTime(house), async c => {
    const id = c.req.param('id')
    const token = bearerOf(c.req.header('authorization'))
    if (!token) throw notItsOwn()
    try {
      await tokens.check(id, token)
      const parsed = heartbeat.safeParse(await c.req.json().catch(() => undefined))
      if (!parsed.success) throw new Problem('invalid-request', { detail: 'the heartbeat does not fit its schema' })
      const removals = await take(id, parsed.data)
      if (removals) return c.json({ nextMs: heartbeatMs, ...removals })
      tokens.forget(id)
      throw notItsOwn()
    } catch (error) {
      throw toProblem(error)
    }
  })

  return app
}
