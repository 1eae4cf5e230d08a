import {
  type Db,
  findHost,
  findProfile,
  type HostView,
  listHosts,
  type PlacementPolicy,
  type RuntimeRow,
  startOn,
} from '@porthole/db'
import { Problem } from '../problem.ts'
import { type Demand, demandOf, type Reason, scoreOf, whyNot } from './score.ts'

/** Chooses hosts. */
export type Placement = {
  /**
   * Chooses a host and starts a new generation there, its capacity reserved.
   *
   * @param excluded hosts that have refused it already, with what they said
   * @returns the row in `starting`; `'over-quota'` when its tenant has no room; undefined when somebody else moved the
   *   runtime meanwhile
   * @throws NoRoom, Problem `profile-unavailable`
   */
  place(
    row: RuntimeRow,
    leaseMs: number,
    excluded?: ReadonlyMap<string, string>,
  ): Promise<RuntimeRow | 'over-quota' | undefined>
  /** Of runtimes that ask for none. */
  policy: PlacementPolicy
  /** What `place` would find, and do. Reserves nothing. */
  explain(demand: Demand): Promise<Explanation[]>
}

/** How a host stands towards a demand: its score, or why it does not do. */
export type Explanation = { host: HostView; score: number; reason: Reason | undefined }

/** No host takes it. `mayWait`: one could, once others have left. */
export class NoRoom extends Problem {
  readonly mayWait: boolean
  readonly #reasons: Refusal[]
  constructor(reasons: Refusal[], more = '') {
    const hosts = reasons.slice(0, maxTold).map(({ host, reason }) => ({ host, reason: reason.why }))
    super('no-capacity', { detail: describe(reasons) + more, retryAfterSeconds: 5, members: { hosts } })
    this.mayWait = reasons.some(({ reason }) => !reason.never)
    this.#reasons = reasons
  }

  /** The same, with what has come of waiting. */
  readonly andThen = (more: string): NoRoom => new NoRoom(this.#reasons, more)
}

type Refusal = { host: string; reason: Reason }

/** Hosts read at once; a fleet is read in pages of as many. */
const pageSize = 1000
/** Hosts whose reasons an answer tells one by one. */
const maxTold = 20
/** Hosts that are tried for one placement, should others take the room each time. */
const maxTries = 8

const lostTo: Record<'full' | 'moving' | 'behind', Reason> = {
  behind: { why: 'others of this tenant wait for its room', never: false },
  full: { why: 'its last room went to another runtime', never: false },
  moving: { why: 'the profile is on its way to another host', never: false },
}

/** Each host's reason where there are few of them; where there are many, how many hosts have which. */
const describe = (reasons: Refusal[]): string => {
  if (reasons.length === 0) return 'no host has joined'
  if (reasons.length <= maxTold) return reasons.map(({ host, reason }) => `${host}: ${reason.why}`).join('; ')
  const counts = new Map<string, number>()
  for (const { reason } of reasons) counts.set(reason.why, (counts.get(reason.why) ?? 0) + 1)
  const most = [...counts].toSorted((a, b) => b[1] - a[1]).slice(0, maxTold)
  return `${reasons.length} hosts: ${most.map(([why, count]) => `${count} × ${why}`).join('; ')}`
}

export const createPlacement = ({
  db,
  policy = 'spread',
  imageOf,
}: {
  db: Db
  /** Of runtimes that ask for none. */
  policy?: PlacementPolicy
  /** The image of a spec; undefined: the host's own default. */
  imageOf(spec: string): string | undefined
}): Placement => {
  const allHosts = async (): Promise<HostView[]> => {
    const hosts: HostView[] = []
    for (let after: string | undefined; ; ) {
      const page = await listHosts(db, { limit: pageSize, after })
      hosts.push(...page)
      if (page.length < pageSize) return hosts
      after = page.at(-1)?.id
    }
  }

  const judge = (hosts: HostView[], demand: Demand): Explanation[] =>
    hosts
      .map(host => ({ host, score: scoreOf(host, demand), reason: whyNot(host, demand) }))
      .toSorted((a, b) => b.score - a.score)

  /** The host a runtime has to go to: where its container may still be, or where its profile is. */
  const homeOf = async (row: RuntimeRow): Promise<string | undefined> => {
    if (row.reserved && row.hostId) return row.hostId
    // A task leaves nothing behind that it would go back for.
    return row.mode === 'docker-per-task' ? undefined : (await findProfile(db, row))?.hostId
  }

  return {
    policy,
    place: async (row, leaseMs, excluded = new Map()) => {
      const home = await homeOf(row)
      const homeHost = home === undefined ? undefined : await findHost(db, home)
      // A home that was removed is none.
      const hosts = homeHost ? [homeHost] : await allHosts()
      const reasons: Refusal[] = []
      let tries = 0
      for (const { host, reason } of judge(hosts, demandOf(row, policy, imageOf(row.spec)))) {
        const refusal = excluded.get(host.id)
        if (refusal !== undefined) reasons.push({ host: host.name, reason: { why: refusal, never: false } })
        // Its profile is on its way to another host, or soon will be: that is worth waiting for.
        else if (homeHost && host.drainUntil && !row.reserved)
          reasons.push({ host: host.name, reason: { why: 'it is being drained, and the profile moves', never: false } })
        // What it holds there already is its own.
        else if (reason && !(row.reserved && row.hostId === host.id)) reasons.push({ host: host.name, reason })
        else if (tries++ >= maxTries) reasons.push({ host: host.name, reason: { why: 'not tried', never: false } })
        else {
          const started = await startOn(db, row, host.id, leaseMs)
          if (started !== 'full' && started !== 'moving' && started !== 'behind') return started
          reasons.push({ host: host.name, reason: lostTo[started] })
        }
      }
      const [only] = hosts
      if (homeHost && only?.live === false)
        throw new Problem('profile-unavailable', {
          detail: `${only.name}: ${reasons[0]?.reason.why}`,
          retryAfterSeconds: 10,
        })
      throw new NoRoom(reasons)
    },

    explain: async demand => judge(await allHosts(), demand),
  }
}
