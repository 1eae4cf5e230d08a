import { moves, type RuntimeRow } from '@porthole/db'
import type { Evidence } from './evidence.ts'
import type { Entry } from './history.ts'

/** One promise that was not kept: which (DESIGN section 4), and what was seen. */
export type Violation = { invariant: string; what: string }

/** Compares everything with everything, on a lab where nothing is under way any more. */
export const check = (evidence: Evidence): Violation[] => [
  ...oneEach(evidence),
  ...books(evidence),
  ...generations(evidence),
  ...deletes(evidence),
  ...volumes(evidence),
  ...acknowledged(evidence),
  ...walks(evidence),
  ...settled(evidence),
  ...told(evidence),
]

const isOwn = ({ containerPrefix }: Evidence['names'], hash: string, name: string) =>
  name === `${containerPrefix}${hash}`

/** 1: one live runtime an owner, and for each that runs, one container, where the row says. */
const oneEach = ({ runtimes, engines, names }: Evidence): Violation[] => {
  const wrong: Violation[] = []
  const say = (what: string) => wrong.push({ invariant: '1, one runtime an owner', what })
  const live = Map.groupBy(
    runtimes.filter(({ state }) => state !== 'deleted'),
    ({ tenant, mode, owner }) => `${tenant} ${mode} ${owner}`,
  )
  for (const [owner, rows] of live) if (rows.length > 1) say(`${owner} has ${rows.map(({ id }) => id).join(', ')}`)
  const byId = new Map(runtimes.map(row => [row.id, row]))
  const all = engines.flatMap(({ host, containers }) => containers.map(container => ({ host, ...container })))
  for (const [name, same] of Map.groupBy(all, ({ name }) => name))
    if (same.length > 1) say(`${name} is on ${same.map(({ host }) => host).join(' and ')}`)
  for (const { host, name, runtime, generation, state } of all) {
    const row = byId.get(runtime)
    if (!row) say(`${name} on ${host} belongs to ${runtime || 'nobody'}, which there is no row of`)
    else if (row.hostId !== host) say(`${name} is on ${host}, its row says ${row.hostId}`)
    else if (!row.reserved) say(`${name} on ${host} is ${state}, its row holds nothing there: ${row.state}`)
    else if (row.generation !== generation) say(`${name} on ${host} is of ${generation}, its row of ${row.generation}`)
  }
  for (const row of runtimes.filter(({ state }) => state === 'running' || state === 'paused')) {
    const own = all.find(({ host, name }) => host === row.hostId && isOwn(names, row.ownerHash, name))
    if (!own) say(`${row.id} is ${row.state}, and has no container on ${row.hostId}`)
    else if (own.state !== row.state) say(`${row.id} is ${row.state}, its container is ${own.state}`)
  }
  return wrong
}

const sum = (rows: RuntimeRow[], of: (row: RuntimeRow) => number) => rows.reduce((all, row) => all + of(row), 0)

/** 2: what is reserved is what the rows say, no more than there is, and not less than nothing. */
const books = ({ hosts, tenants, runtimes }: Evidence): Violation[] => {
  const wrong: Violation[] = []
  const compare = (whose: string, what: string, book: number, rows: number, most: number | null = null) => {
    if (book !== rows)
      wrong.push({ invariant: '2, capacity', what: `${whose} counts ${book} ${what}, its rows ${rows}` })
    if (most !== null && book > most)
      wrong.push({ invariant: '2, capacity', what: `${whose} has given ${book} of ${most} ${what}` })
  }
  for (const host of hosts) {
    const own = runtimes.filter(({ hostId, reserved }) => reserved && hostId === host.id)
    compare(host.name, 'slots', host.reservedSlots, own.length, host.slots)
    const memory = sum(own, row => row.needMemoryBytes)
    compare(host.name, 'bytes', host.reservedMemoryBytes, memory, host.memoryBytes)
    compare(
      host.name,
      'CPU',
      host.reservedCpuMillis,
      sum(own, row => row.needCpuMillis),
      host.cpuMillis,
    )
    compare(
      host.name,
      'GPUs',
      host.reservedGpus,
      sum(own, row => row.needGpus),
      host.gpus,
    )
  }
  for (const tenant of tenants) {
    const own = runtimes.filter(row => row.tenant === tenant.slug && row.reserved)
    const name = `tenant ${tenant.slug}`
    compare(name, 'runtimes', tenant.usedRuntimes, own.filter(({ counted }) => counted).length)
    compare(
      name,
      'bytes',
      tenant.usedMemoryBytes,
      sum(own, row => row.needMemoryBytes),
    )
    compare(
      name,
      'CPU',
      tenant.usedCpuMillis,
      sum(own, row => row.needCpuMillis),
    )
  }
  return wrong
}

/** 3: what a client is told of a runtime never goes back. */
const generations = ({ history, events }: Evidence): Violation[] => {
  const wrong: Violation[] = []
  const newest = new Map<string, number>()
  const rise = (id: string, generation: number, where: string) => {
    const before = newest.get(id) ?? 0
    if (generation < before)
      wrong.push({ invariant: '3, generations', what: `${id} went from ${before} back to ${generation} in ${where}` })
    newest.set(id, Math.max(before, generation))
  }
  for (const { runtime } of inOrder(history.entries)) if (runtime) rise(runtime.id, runtime.generation, 'answers')
  newest.clear()
  for (const { runtimeId, generation } of events) rise(runtimeId, generation, 'events')
  return wrong
}

/** By when each was answered: an owner's client asks one thing after the other. */
const inOrder = (entries: readonly Entry[]) => entries.toSorted((a, b) => a.at + a.ms - (b.at + b.ms))

const isDelete = ({ operation }: Entry) => operation === 'delete' || operation === 'delete with profile'
const isCreate = ({ operation }: Entry) => operation === 'create' || operation === 'create twice'
/** What may have made a runtime, or a volume, again. */
const mayStart = (entry: Entry) => (isCreate(entry) || entry.operation === 'start') && entry.outcome !== 'refused'

/** 4: what was said to be deleted is. */
const deletes = ({ history, runtimes, engines, names }: Evidence): Violation[] => {
  const wrong: Violation[] = []
  const byId = new Map(runtimes.map(row => [row.id, row]))
  for (const entry of history.entries.filter(entry => isDelete(entry) && entry.outcome === 'ok')) {
    const id = entry.runtime?.id ?? ''
    const row = byId.get(id)
    const say = (what: string) => wrong.push({ invariant: '4, deletes', what: `${id} was deleted, and ${what}` })
    if (!row) say('its row is gone')
    else if (row.state !== 'deleted' || row.reserved) say(`is ${row.state}${row.reserved ? ' with its room held' : ''}`)
    for (const { host, containers } of engines)
      for (const container of containers) if (container.runtime === id) say(`${container.name} is on ${host}`)
    const later = history.entries.some(other => other.owner === entry.owner && other.at >= entry.at && mayStart(other))
    if (entry.operation !== 'delete with profile' || later || !row) continue
    for (const { host, volumes } of engines)
      if (volumes.includes(`${names.volumePrefix}${row.ownerHash}`)) say(`its volume is on ${host}`)
  }
  return wrong
}

/** 6: a profile goes when somebody asks for that, and not otherwise; and no volume is left that is nobody's. */
const volumes = ({ history, profiles, engines, removals, names, runtimes }: Evidence): Violation[] => {
  const wrong: Violation[] = []
  const say = (what: string) => wrong.push({ invariant: '6, nothing vanishes or leaks', what })
  const has = (host: string, hash: string) =>
    engines.find(engine => engine.host === host)?.volumes.includes(`${names.volumePrefix}${hash}`) ?? false
  for (const { owner, ownerHash, hostId } of profiles)
    if (!has(hostId, ownerHash) && wasReady(runtimes, owner)) say(`the profile of ${owner} is not on ${hostId}`)
  for (const { host, volumes, networks } of engines) {
    for (const volume of volumes) {
      const hash = volume.slice(names.volumePrefix.length)
      const isKnown =
        profiles.some(profile => profile.hostId === host && profile.ownerHash === hash) ||
        removals.some(removal => removal.hostId === host && removal.ownerHash === hash)
      if (!isKnown) say(`${volume} on ${host} is nobody's`)
    }
    const others = networks.filter(name => !name.startsWith(names.network))
    if (others.length > 0) say(`${host} has networks of somebody else: ${others.join(', ')}`)
  }
  for (const [owner, entries] of Map.groupBy(history.entries, ({ owner }) => owner)) {
    const isAsked = entries.some(({ operation }) => operation === 'delete with profile')
    const wasThere = entries.some(
      entry => isCreate(entry) && entry.outcome === 'ok' && entry.runtime?.state === 'running',
    )
    if (wasThere && !isAsked && !profiles.some(profile => profile.owner === owner))
      say(`${owner} never deleted its profile, and has none`)
  }
  return wrong
}

/** A start that fails before its container is made leaves a profile without a volume: there is nothing in it. */
const wasReady = (runtimes: RuntimeRow[], owner: string) =>
  runtimes.some(row => row.owner === owner && row.readyAt !== null && row.state !== 'deleted')

/** What was acknowledged happened, once. */
const acknowledged = ({ history, runtimes }: Evidence): Violation[] => {
  const wrong: Violation[] = []
  const say = (what: string) => wrong.push({ invariant: 'acknowledged creates', what })
  const byId = new Map(runtimes.map(row => [row.id, row]))
  for (const [owner, entries] of Map.groupBy(history.entries, ({ owner }) => owner)) {
    let current: string | undefined
    let mayBeGone = true
    for (const entry of entries.toSorted((a, b) => a.at - b.at)) {
      if (isDelete(entry)) mayBeGone = true
      if (!isCreate(entry) || entry.outcome !== 'ok' || !entry.runtime) continue
      const { id } = entry.runtime
      if (current !== undefined && id !== current && !mayBeGone)
        say(`${owner} had ${current}, deleted nothing, and was given ${id}`)
      if (byId.get(id)?.owner !== owner) say(`${owner} was given ${id}, which is ${byId.get(id)?.owner ?? 'nowhere'}`)
      current = id
      mayBeGone = false
    }
    const made = runtimes.filter(row => row.owner === owner).length
    const asked = entries.filter(isCreate).length
    if (made > asked) say(`${owner} asked ${asked} times and has ${made} rows`)
  }
  return wrong
}

/** Events tell a walk through the states that ends where the row is. */
const walks = ({ events, runtimes }: Evidence): Violation[] => {
  const wrong: Violation[] = []
  const say = (what: string) => wrong.push({ invariant: 'events', what })
  const byRuntime = Map.groupBy(events, ({ runtimeId }) => runtimeId)
  for (const { id, state, generation } of runtimes) {
    let at: string | null = null
    for (const { fromState, toState } of byRuntime.get(id) ?? []) {
      if (fromState !== at) say(`${id} was ${at ?? 'not there'}, and went on from ${fromState}`)
      else if (fromState !== null && !(moves[fromState] as readonly string[]).includes(toState))
        say(`${id} went from ${fromState} to ${toState}`)
      at = toState
    }
    if (at !== state) say(`${id} is ${state}, its events end with ${at}`)
    const last = byRuntime.get(id)?.at(-1)
    if (last && last.generation !== generation) say(`${id} is of ${generation}, its events of ${last.generation}`)
  }
  return wrong
}

const resting = ['running', 'paused', 'stopped', 'failed', 'lost', 'deleted']

/** 10: everything that was begun has come to an end, and no call took longer than its client was told. */
const settled = ({ runtimes, removals, history, callMs }: Evidence): Violation[] => [
  ...runtimes
    .filter(({ state, workUntil, lineSince }) => !resting.includes(state) || workUntil !== null || lineSince !== null)
    .map(({ id, state }) => ({ invariant: '10, deadlines', what: `${id} is still ${state}, or worked on` })),
  ...runtimes
    .filter(({ state, reserved }) => reserved && state !== 'running' && state !== 'paused')
    .map(({ id, state }) => ({ invariant: '10, deadlines', what: `${id} is ${state} and holds room` })),
  ...removals.map(({ hostId, ownerHash }) => ({
    invariant: '10, deadlines',
    what: `the volume of ${ownerHash} on ${hostId} is still to be removed`,
  })),
  ...history.entries
    .filter(({ code }) => code === 'TimeoutError')
    .map(({ owner, operation, at }) => ({
      invariant: '10, deadlines',
      what: `${operation} of ${owner} at ${(at / 1000).toFixed(1)} s was not answered within ${callMs / 1000} s`,
    })),
]

/** What clients and strikes have seen by themselves. */
const told = ({ history }: Evidence): Violation[] => [
  ...history.entries.flatMap(({ owner, operation, wrong }) =>
    wrong === undefined
      ? []
      : [{ invariant: operation === 'spy' ? '7, other tenants' : 'isolation', what: `${owner}: ${wrong}` }],
  ),
  ...history.strikes.flatMap(({ fault, what, wrong }) =>
    wrong.map(seen => ({ invariant: '5, restarts', what: `${fault} (${what}): ${seen}` })),
  ),
]
