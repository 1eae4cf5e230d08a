import { abandonMove, claimMove, type Db, findHost, finishMove, type HostView, type ProfileRow } from '@porthole/db'
import type { Logger } from 'pino'
import type { Agents } from '../agents/client.ts'
import { type Destinations, hasDiskFor } from './drain-destinations.ts'
import { type Hold, holdMove } from './drain-hold.ts'

const ownerOf = ({ tenant, ownerHash }: ProfileRow) => ({ tenant, ownerHash })

/** What only reads may be left to itself: whoever waits for it goes on. */
const unlessAborted = <T>(signal: AbortSignal, work: Promise<T>): Promise<T> => {
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(signal.reason)
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  return Promise.race([work, aborted.promise]).finally(() => signal.removeEventListener('abort', abort))
}

/**
 * Moves profiles, one call each. The call returns when the profile has moved, or somebody else has it.
 *
 * Nothing here removes a volume, and no agent replaces one: what a mover has sent may arrive after its move has lapsed, and
 * the volume may be the profile by then. What is left somewhere is due to be removed, and goes before a next move comes there.
 *
 * @throws why it stays where it is
 */
export const createMover = ({
  db,
  agents,
  destinations,
  log,
  leaseMs,
  stopping,
}: {
  db: Db
  agents: Agents
  destinations: Destinations
  log: Logger
  /** Milliseconds that a move is its gateway's, from each renewal on. */
  leaseMs: number
  stopping: AbortSignal
}): ((profile: ProfileRow, from: HostView) => Promise<void>) => {
  const copy = async (claimed: ProfileRow, from: HostView, to: HostView, hold: Hold) => {
    const [source, target] = [agents.at(from).volumes, agents.at(to).volumes]
    const owner = ownerOf(claimed)
    const signal = AbortSignal.any([hold.signal, stopping])
    const before = await unlessAborted(signal, source.digest(owner))
    if (!before) {
      // Never started since it was placed there: nothing to take along, but what is there would become the profile.
      if (await unlessAborted(signal, target.digest(owner))) throw new Error('the host has an old volume of that name')
      return { bytes: 0, files: 0 }
    }
    destinations.measured(claimed, before.bytes)
    const now = await findHost(db, to.id)
    if (!now || !hasDiskFor(now, before.bytes)) throw new Error('the host has no room for it')
    const archive = await source.read(owner, signal)
    try {
      hold.check()
      const after = await target.write(owner, archive, signal)
      if (after.digest !== before.digest) throw new Error('the copy is not what was copied')
      return { bytes: after.bytes, files: after.files }
    } catch (error) {
      destinations.refused(claimed, to.id)
      throw error
    } finally {
      archive.destroy()
    }
  }

  const abandon = (claimed: ProfileRow) =>
    abandonMove(db, claimed).catch(err => {
      // It lapses, and whoever uses the profile next clears up after it.
      log.warn({ err, profile: claimed.id }, 'a move that failed could not be abandoned')
    })

  return async (profile, from) => {
    const to = await destinations.best(profile)
    if (!to) {
      log.warn({ profile: profile.id, host: from.id }, 'no host takes a profile that has to move')
      throw new Error('no host takes it')
    }
    const startedAt = performance.now()
    const claimed = await claimMove(db, profile, to.id, leaseMs)
    if (!claimed) return
    const hold = holdMove(db, claimed, startedAt, leaseMs)
    try {
      const copied = await copy(claimed, from, to, hold)
      if (!(await finishMove(db, claimed))) throw new Error('the move took longer than its lease, or its profile went')
      destinations.forget(claimed)
      const ms = Math.round(performance.now() - startedAt)
      log.info({ profile: profile.id, from: from.id, to: to.id, ms, ...copied }, 'profile moved')
    } catch (error) {
      await abandon(claimed)
      throw error
    } finally {
      hold.release()
    }
  }
}
