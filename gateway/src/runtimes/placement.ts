import {
  type Claimed,
  createOn,
  type Db,
  findHome,
  findHost,
  type HostView,
  listHosts,
  listWarmInTheWay,
  type NewRuntime,
  type PlacementPolicy,
  type RuntimeRow,
  type Started,
  tryStartOn,
  warmTenant,
} from '@porthole/db'
import { Problem } from '../problem.ts'
import { type Chooser, createChooser } from './choice.ts'
import { type Candidate, type Demand, demandOf, leastDiskBytes, type Reason, scoreOf, whyNot } from './score.ts'
import { type Snapshot, snapshotOf } from './snapshot.ts'

/** Chooses hosts. */
export type Placement = {
  /**
   * As `claimOwner`. A new one is also started, in the same transaction, where a look into memory finds a host that takes it: a
   * transaction less for most. Otherwise it is `pending`, and to be placed.
   */
  claim(wanted: NewRuntime, leaseMs: number, waitMs: number): Promise<Claimed | undefined>
  /**
   * Chooses a host and starts a new generation there, its capacity reserved.
   *
   * @param excluded hosts that have refused it already, with what they said
   * @returns the row in `starting`; `'over-quota'` when its tenant has no room; undefined when somebody else moved the
   *   runtime meanwhile
   * @throws NoRoom, which is `profile-unavailable` where the host that it has to go to is away
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
  readonly #isAway: boolean
  /** @param isAway whether it is the one host that has the profile, and does not answer */
  constructor(reasons: Refusal[], more = '', isAway = false) {
    const detail = describe(reasons) + more
    const hosts = reasons.slice(0, maxTold).map(({ host, reason }) => ({ host, reason: reason.why }))
    if (isAway) super('profile-unavailable', { detail, retryAfterSeconds: 10 })
    else super('no-capacity', { detail, retryAfterSeconds: 5, members: { hosts } })
    this.mayWait = reasons.some(({ reason }) => !reason.never)
    this.#reasons = reasons
    this.#isAway = isAway
  }

  /** The same, with what has come of waiting. */
  readonly andThen = (more: string): NoRoom => new NoRoom(this.#reasons, more, this.#isAway)
}

type Refusal = { host: string; reason: Reason }

/** Hosts read at once; a fleet is read in pages of as many. */
const pageSize = 1000
/** Hosts whose reasons an answer tells one by one. */
const maxTold = 20
/** Hosts that are tried by one look at the fleet, should others take the room each time; and looks. */
const maxTries = 8
const maxRounds = 4
/** Milliseconds in which room is made again and again, should others take it each time: less than a place in line lasts. */
const makingRoomMs = 2000

const lostTo: Record<'full' | 'moving' | 'behind', Reason> = {
  behind: { why: 'others in line have their turn before', never: false },
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
  snapshot = snapshotOf(db),
  chooser = createChooser(),
  makeRoom = async () => false,
}: {
  db: Db
  /** Of runtimes that ask for none. */
  policy?: PlacementPolicy
  /** The image of a spec; undefined: the host's own default. */
  imageOf(spec: string): string | undefined
  /** Default: of this database. */
  snapshot?: Snapshot
  chooser?: Chooser
  /** Has what is only kept warm make way, on that host or on any. Whether that may have made room. Absent: nothing is. */
  makeRoom?(demand: Demand, on: { hostId: string | undefined; excluded: readonly string[] }): Promise<boolean>
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

  /** The host a runtime has to go to: where its container may still be, or where its profile is. One that was removed is none. */
  const homeOf = async (row: RuntimeRow): Promise<HostView | undefined> => {
    if (row.reserved && row.hostId) return findHost(db, row.hostId)
    // A task leaves nothing behind that it would go back for.
    return row.mode === 'docker-per-task' ? undefined : findHome(db, row)
  }

  const note = (hostId: string, { outcome, reserved }: Started) => {
    if (reserved) snapshot.took(hostId, reserved)
    if (outcome === 'full') snapshot.refuse(hostId)
  }

  const tryHost = async (row: RuntimeRow, hostId: string, leaseMs: number): Promise<Started['outcome']> => {
    const started = await tryStartOn(db, row, hostId, leaseMs)
    note(hostId, started)
    return started.outcome
  }

  const placeAt: Place = async (home, row, demand, leaseMs, excluded) => {
    const refuse = (reason: Reason) => {
      throw new NoRoom([{ host: home.name, reason }], '', !home.live)
    }
    const refusal = excluded.get(home.id)
    if (refusal !== undefined) return refuse({ why: refusal, never: false })
    // Its profile is on its way to another host, or soon will be: that is worth waiting for.
    if (home.drainUntil && !row.reserved)
      return refuse({ why: 'it is being drained, and the profile moves', never: false })
    const reason = whyNot(home, demand)
    // What it holds there already is its own.
    if (reason && !row.reserved) return refuse(reason)
    const outcome = await tryHost(row, home.id, leaseMs)
    return isLost(outcome) ? refuse(lostTo[outcome]) : outcome
  }

  const placeAnywhere = async (row: RuntimeRow, demand: Demand, leaseMs: number, excluded: Excluded) => {
    let fleet = await snapshot.recent()
    /** Hosts that others have got in the meantime, or have a right to. */
    const lost = new Map<string, Reason>()
    for (let round = 1; ; round += 1) {
      const { hosts, refused } = fleet
      const isOpen = (id: string) => !excluded.has(id) && !lost.has(id) && !refused.has(id)
      const chosen = chooser.choose(hosts, demand, isOpen).slice(0, maxTries)
      for (const { id } of chosen) {
        const outcome = await tryHost(row, id, leaseMs)
        if (!isLost(outcome)) return outcome
        lost.set(id, lostTo[outcome])
      }
      // What is said of the hosts is true of them now, and not of a moment ago.
      const behind = [...lost.values()].filter(reason => reason === lostTo.behind).length
      if (round > 1 && (chosen.length === 0 || behind >= maxTries || round === maxRounds))
        throw new NoRoom(reasonsOf(hosts, demand, excluded, lost))
      fleet = await snapshot.fresh()
      // By the new figures it has room, or it has not.
      for (const [id, reason] of lost) if (reason === lostTo.full) lost.delete(id)
    }
  }

  /**
   * One that has never run seldom has a home: it is tried where it would go without one, which costs nobody a look. Where its
   * owner has a profile on another host, that host refuses it. @returns undefined when it is to be looked at properly
   */
  const placeNew = async (row: RuntimeRow, demand: Demand, leaseMs: number, excluded: Excluded) => {
    if (row.generation > 0 || row.lineSince) return undefined
    const { hosts, refused } = await snapshot.recent()
    const [host] = chooser.choose(hosts, demand, id => !excluded.has(id) && !refused.has(id))
    const outcome = host && (await tryHost(row, host.id, leaseMs))
    return typeof outcome === 'object' ? outcome : undefined
  }

  return {
    policy,
    claim: async (wanted, leaseMs, waitMs) => {
      const fleet = snapshot.known()
      const demand = demandOf(wanted, policy, imageOf(wanted.spec))
      const [host] = fleet ? chooser.choose(fleet.hosts, demand, id => !fleet.refused.has(id)) : []
      const claimed = await createOn(db, wanted, host?.id ?? null, leaseMs, waitMs)
      // One that was warm is on a host of its own.
      if (claimed?.started) note(claimed.row.hostId ?? host?.id ?? '', claimed.started)
      return claimed
    },

    place: async (row, leaseMs, excluded = new Map()) => {
      const demand = demandOf(row, policy, imageOf(row.spec))
      const started = await placeNew(row, demand, leaseMs, excluded)
      if (started) return started
      const home = await homeOf(row)
      const tryAll = () =>
        home ? placeAt(home, row, demand, leaseMs, excluded) : placeAnywhere(row, demand, leaseMs, excluded)
      const until = performance.now() + makingRoomMs
      for (;;) {
        try {
          return await tryAll()
        } catch (error) {
          // What is warm never makes way for what is to be warm.
          const mayEnd = error instanceof NoRoom && error.mayWait && row.tenant !== warmTenant
          const on = { hostId: home?.id, excluded: [...excluded.keys()] }
          // Others may have been faster to take the room: then once more.
          if (!mayEnd || performance.now() > until || !(await makeRoom(demand, on))) throw error
        }
      }
    },

    explain: async demand => {
      const all = (await allHosts())
        .map(host => ({ host, score: scoreOf(host, demand), reason: whyNot(host, demand) }))
        .toSorted((a, b) => b.score - a.score)
      if (all.some(({ reason }) => !reason)) return all
      // Who finds no room has what is only kept warm make way.
      const [inTheWay] = await listWarmInTheWay(db, demand, { labels: demand.require, leastDiskBytes })
      return all.map(one => (one.host.id === inTheWay?.hostId ? { ...one, reason: undefined } : one))
    },
  }
}

type Excluded = ReadonlyMap<string, string>
type Place = (
  home: HostView,
  row: RuntimeRow,
  demand: Demand,
  leaseMs: number,
  excluded: Excluded,
) => Promise<RuntimeRow | 'over-quota' | undefined>

const isLost = (outcome: Started['outcome']): outcome is keyof typeof lostTo =>
  outcome === 'full' || outcome === 'moving' || outcome === 'behind'

/** Why each host has not taken it, those that would be better first. */
const reasonsOf = (
  hosts: readonly Candidate[],
  demand: Demand,
  excluded: Excluded,
  lost: ReadonlyMap<string, Reason>,
): Refusal[] => {
  const reasonOf = (host: Candidate): Reason => {
    const refusal = excluded.get(host.id)
    if (refusal !== undefined) return { why: refusal, never: false }
    return lost.get(host.id) ?? whyNot(host, demand) ?? { why: 'not tried', never: false }
  }
  const ordered = hosts.length > maxTold ? hosts : hosts.toSorted((a, b) => scoreOf(b, demand) - scoreOf(a, demand))
  return ordered.map(host => ({ host: host.name, reason: reasonOf(host) }))
}
