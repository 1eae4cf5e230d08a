import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { EventRow, HostRow, ProfileRow, RuntimeRow, TenantRow } from '@porthole/db'
import { check } from './checker.ts'
import type { Evidence } from './evidence.ts'
import type { Footprint, ProcessFootprint } from './footprint.ts'
import type { Entry, Struck } from './history.ts'

const epoch = new Date(0)
const id = 'rt_A'
const hash = '00000000000000aa'
const names = { containerPrefix: 'c-', volumePrefix: 'v-', network: 'n' }

const runtime: RuntimeRow = {
  ...{ id, tenant: 'default', mode: 'docker-per-principal', owner: 'ada', ownerHash: hash, spec: 'browser' },
  ...{ state: 'running', generation: 2, hostId: 'h1', reserved: true, counted: true },
  ...{ needMemoryBytes: 100, needCpuMillis: 10, needGpus: 0, labels: {}, start: { memoryBytes: 200, cpus: 1 } },
  ...{ removeVolume: false, error: null, workUntil: null, workTries: 0 },
  ...{ lineSince: null, lineUntil: null, lineFor: null, waitUntil: null },
  ...{ idle: {}, idleAt: null, warnedFor: null },
  ...{ createdAt: epoch, readyAt: epoch, lastUsedAt: epoch, stateAt: epoch, deletedAt: null },
}
const host = {
  ...{ id: 'h1', name: 'h1', memoryBytes: 1000, cpuMillis: 100, slots: 10, gpus: 0 },
  ...{ reservedMemoryBytes: 100, reservedCpuMillis: 10, reservedSlots: 1, reservedGpus: 0 },
} as HostRow
const other = { ...host, id: 'h2', name: 'h2', reservedMemoryBytes: 0, reservedCpuMillis: 0, reservedSlots: 0 }
const tenant = { slug: 'default', usedRuntimes: 1, usedMemoryBytes: 100, usedCpuMillis: 10 } as TenantRow
const profile = {
  id: 'pf',
  tenant: 'default',
  mode: runtime.mode,
  owner: 'ada',
  ownerHash: hash,
  hostId: 'h1',
} as ProfileRow
const event = (fromState: EventRow['fromState'], toState: EventRow['toState'], generation: number) =>
  ({ runtimeId: id, fromState, toState, generation, at: epoch }) as EventRow
const told = { id, generation: 1, state: 'running', host: 'h1' }
const entry: Entry = {
  ...{ owner: 'ada', operation: 'create', at: 0, ms: 10, outcome: 'ok', status: 201 },
  runtime: told,
}
const deleted: Entry = { ...entry, operation: 'delete', at: 100, status: 204, asked: id }
const stopped: Entry = { ...deleted, operation: 'stop', status: 200 }
/** A drive at a time that found and left these marks. */
const driven = (at: number, found: string | undefined, left = found ?? ''): Entry => ({
  ...{ owner: 'ada', operation: 'drive', at, ms: 10, outcome: 'ok', status: 101, mark: { found, left } },
})
const container = { id: 'x', name: `c-${hash}`, runtime: id, generation: 2, state: 'running' }

const footprint = (change: Partial<ProcessFootprint> = {}, cables = 1): Footprint => ({
  processes: [{ what: 'agent 1', residentBytes: 100 * 2 ** 20, sockets: 10, children: [], ...change }],
  cables: [{ host: 'h1', found: cables, containers: 1 }],
})
const struck: Struck = {
  ...{
    fault: 'kill a gateway',
    what: 'gateway 1',
    touched: { gateway: 'g1' },
    at: 0,
    mendedAt: 1,
    recoveryMs: 1,
    wrong: [],
  },
}

/** A lab on which everything is as it should be, but for what a test changes. */
const whole = (change: Partial<Evidence> = {}): Evidence => ({
  hosts: [host, other],
  tenants: [tenant],
  runtimes: [runtime],
  profiles: [profile],
  removals: [],
  events: [event(null, 'pending', 0), event('pending', 'starting', 2), event('starting', 'running', 2)],
  engines: [
    { host: 'h1', containers: [container], volumes: [`v-${hash}`], networks: ['n'], marks: { [`v-${hash}`]: 'm1' } },
    { host: 'h2', containers: [], volumes: [], networks: [], marks: {} },
  ],
  history: { entries: [entry], strikes: [], deaths: [], startedAt: 0 },
  footprints: { before: footprint(), after: footprint() },
  names,
  callMs: 60_000,
  ...change,
})
/** The same with what the first host's engine has. */
const has = (change: Partial<Evidence['engines'][number]>, second: Partial<Evidence['engines'][number]> = {}) => {
  const [one, two] = whole().engines
  if (!one || !two) throw new Error('two engines')
  return {
    engines: [
      { ...one, ...change },
      { ...two, ...second },
    ],
  }
}
const said = (...entries: Entry[]) => ({ history: { entries, strikes: [], deaths: [], startedAt: 0 } })
/** Without anything that holds room. */
const gone = (row: Partial<RuntimeRow>): Partial<Evidence> => ({
  runtimes: [{ ...runtime, reserved: false, counted: false, ...row }],
  hosts: [other],
  tenants: [{ ...tenant, usedRuntimes: 0, usedMemoryBytes: 0, usedCpuMillis: 0 }],
  events: [...whole().events, event('running', 'deleting', 2), event('deleting', 'deleted', 2)],
})

describe('the checker', () => {
  it('has nothing to say where nothing is wrong', () => {
    assert.deepEqual(check(whole()), [])
  })

  it('has nothing to say of a runtime that ended with its container', () => {
    const change: Partial<Evidence> = {
      ...gone({ state: 'failed', error: { code: 'crashed', detail: 'exit code 137' } }),
      ...has({ containers: [] }),
      events: [...whole().events, event('running', 'failed', 2)],
      history: {
        ...{ entries: [entry], deaths: [], startedAt: 0 },
        strikes: [struck, { ...struck, fault: 'kill a container', touched: { container: `c-${hash}` } }],
      },
    }
    assert.deepEqual(check(whole(change)), [])
  })

  it('has nothing to say of a profile that was given up, nor of one that was made again with a key', () => {
    const old = { ...runtime, id: 'rt_0', state: 'deleted' as const, reserved: false, counted: false }
    const oldEvents = [event(null, 'pending', 0), event('pending', 'starting', 2), event('starting', 'deleting', 2)]
    const events = [...oldEvents, event('deleting', 'deleted', 2)].map(one => ({ ...one, runtimeId: 'rt_0' }))
    const first = { ...entry, runtime: { ...told, id: 'rt_0' } }
    const given: Entry = { ...deleted, operation: 'delete with profile', asked: 'rt_0', runtime: first.runtime }
    const without: Partial<Evidence> = {
      ...gone({}),
      ...{ runtimes: [old], events, profiles: [], ...has({ containers: [], volumes: [], marks: {} }) },
    }
    assert.deepEqual(check(whole({ ...without, ...said(first, given) })), [])
    const again: Partial<Evidence> = { runtimes: [old, runtime], events: [...events, ...whole().events] }
    const entries = [first, given, { ...entry, operation: 'create again' as const, at: 200 }]
    assert.deepEqual(check(whole({ ...again, ...said(...entries) })), [])
  })

  it('has nothing to say of what was asked for', () => {
    const given = { ...deleted, operation: 'delete with profile' as const }
    // What was made again is not what should have gone, and what was started again not what should have stopped.
    for (const entries of [
      [entry, stopped, { ...entry, at: 200 }],
      [
        entry,
        stopped,
        { ...entry, operation: 'start' as const, at: 200, outcome: 'refused' as const, code: 'no-capacity' },
      ],
      [entry, driven(50, undefined, 'm1'), driven(100, 'm1')],
      [
        entry,
        driven(50, undefined, 'm0'),
        { ...given, at: 60, outcome: 'unknown' as const },
        driven(100, undefined, 'm1'),
      ],
    ])
      assert.deepEqual(
        // What becomes of a delete that nobody answered is another check's.
        check(whole(said(...entries))).filter(({ invariant }) => invariant !== '4, deletes'),
        [],
      )
  })

  for (const [what, change, expected] of [
    [
      'two live runtimes of one owner',
      { runtimes: [runtime, { ...runtime, id: 'rt_B' }] },
      /docker-per-principal ada has rt_A, rt_B/,
    ],
    ['a container on two hosts', has({}, { containers: [container] }), /c-0+aa is on h1 and h2/],
    [
      'a container of nobody',
      has({ containers: [container, { ...container, name: 'c-x', runtime: 'rt_X' }] }),
      /rt_X, which there is no row of/,
    ],
    [
      'a container on another host than its row says',
      has({ containers: [] }, { containers: [container] }),
      /is on h2, its row says h1/,
    ],
    [
      'a container of an older generation',
      has({ containers: [{ ...container, generation: 1 }] }),
      /is of 1, its row of 2/,
    ],
    ['a runtime without its container', has({ containers: [] }), /is running, and has no container on h1/],
    [
      'a runtime that runs and is frozen',
      has({ containers: [{ ...container, state: 'paused' }] }),
      /its container is paused/,
    ],
    ['a container that should have been stopped', gone({ state: 'stopped' }), /its row holds nothing there: stopped/],
    [
      'room that was given back twice',
      { hosts: [{ ...host, reservedSlots: 0 }, other] },
      /h1 counts 0 slots, its rows 1/,
    ],
    [
      'room that was never given back',
      { hosts: [host, { ...other, reservedMemoryBytes: 7 }] },
      /h2 counts 7 bytes, its rows 0/,
    ],
    ['a host that is overbooked', { hosts: [{ ...host, memoryBytes: 99 }, other] }, /has given 100 of 99 bytes/],
    [
      'a quota that is off',
      { tenants: [{ ...tenant, usedRuntimes: 2 }] },
      /tenant default counts 2 runtimes, its rows 1/,
    ],
    [
      'an answer of an older generation',
      said(entry, {
        ...entry,
        at: 20,
        operation: 'start',
        runtime: { id, generation: 0, state: 'running', host: 'h1' },
      }),
      /went from 1 back to 0 in answers/,
    ],
    ['a delete that was none', said(entry, deleted), /was deleted, and is running with its room held/],
    [
      'a deleted container that is there',
      { ...gone({ state: 'deleted' }), ...said(entry, deleted) },
      /was deleted, and c-0+aa is on h1/,
    ],
    [
      'a profile that was to go and is there',
      {
        ...gone({ state: 'deleted' }),
        ...has({ containers: [] }),
        ...said(entry, { ...deleted, operation: 'delete with profile' }),
      },
      /its volume is on h1/,
    ],
    [
      'a profile that vanished',
      { profiles: [], ...has({ volumes: [] }) },
      /ada has not deleted its profile since it was there, and has none/,
    ],
    [
      'a volume that vanished with a plain delete',
      { ...gone({ state: 'deleted' }), ...has({ containers: [], volumes: [] }), ...said(entry, deleted) },
      /the profile of ada is not on h1/,
    ],
    [
      'a profile that vanished after an earlier one was given up',
      {
        ...{ profiles: [], ...has({ volumes: [] }) },
        ...said(
          { ...deleted, operation: 'delete with profile', asked: 'rt_0', at: 0 },
          { ...entry, operation: 'create again', at: 100 },
        ),
      },
      /has not deleted its profile since it was there, and has none/,
    ],
    [
      'a profile that was emptied between two drives',
      said(entry, driven(50, undefined, 'm0'), driven(100, undefined, 'm1')),
      /the profile of ada was another one at 0.1 s/,
    ],
    ['a profile that was emptied at last', said(entry, driven(50, 'm0')), /the profile of ada is another one now/],
    ['a volume that vanished', has({ volumes: [] }), /the profile of ada is not on h1/],
    ['a volume of nobody', has({}, { volumes: ['v-zz'] }), /v-zz on h2 is nobody's/],
    ['a network of somebody else', has({ networks: ['n', 'left'] }), /h1 has networks of somebody else: left/],
    [
      'a create that gave a second runtime',
      said(entry, { ...entry, at: 50, runtime: { id: 'rt_B', generation: 1, state: 'running', host: 'h1' } }),
      /had rt_A, deleted nothing, and was given rt_B/,
    ],
    [
      'a create with a key that gave a second runtime',
      said(entry, { ...entry, operation: 'create again', at: 50, runtime: { ...told, id: 'rt_B' } }),
      /had rt_A, deleted nothing, and was given rt_B/,
    ],
    [
      'a create that gave a second runtime after a delete that was refused',
      said(
        entry,
        { ...deleted, at: 20, outcome: 'refused', status: 404 },
        { ...entry, at: 50, runtime: { ...told, id: 'rt_B' } },
      ),
      /had rt_A, deleted nothing, and was given rt_B/,
    ],
    [
      'a runtime that nobody has deleted',
      { ...gone({ state: 'deleted' }), ...has({ containers: [] }) },
      /rt_A is deleted, and nobody asked for that/,
    ],
    ['a stop that was none', said(entry, stopped), /rt_A was stopped, and is running/],
    [
      'what was wrong while all this happened',
      {
        history: {
          ...{ entries: [entry], strikes: [], deaths: [], startedAt: 0 },
          sampled: {
            times: 1,
            waiting: 0,
            wrong: [{ invariant: '2, capacity', what: 'h1 has given 2 of 1 slots', past: true }],
          },
        },
      },
      /2, capacity: h1 has given 2 of 1 slots/,
    ],
    [
      'a copier that was left behind',
      has({ containers: [container, { ...container, name: `v-${hash}-copy`, runtime: '', state: 'created' }] }),
      /v-0+aa-copy on h1 belongs to nobody/,
    ],
    [
      'a create that nobody remembers',
      { runtimes: [], ...has({ containers: [] }) },
      /was given rt_A, which is nowhere/,
    ],
    [
      'more rows than creates',
      { runtimes: [runtime, { ...runtime, id: 'rt_0', state: 'deleted', reserved: false, counted: false }] },
      /ada asked 1 times and has 2 rows/,
    ],
    [
      'a step that is no move',
      { events: [event(null, 'pending', 0), event('pending', 'running', 2)] },
      /went from pending to running/,
    ],
    ['an event that is missing', { events: whole().events.toSpliced(1, 1) }, /was pending, and went on from starting/],
    [
      'a row that no event has brought there',
      { events: whole().events.slice(0, 2) },
      /is running, its events end with starting/,
    ],
    [
      'a runtime that is still on its way',
      { runtimes: [{ ...runtime, state: 'starting' }] },
      /is still starting, or worked on/,
    ],
    ['work that nobody finished', { runtimes: [{ ...runtime, workUntil: epoch }] }, /is still running, or worked on/],
    ['a failed runtime that holds room', { runtimes: [{ ...runtime, state: 'failed' }] }, /is failed and holds room/],
    [
      'a removal that nobody did',
      { removals: [{ hostId: 'h2', ownerHash: 'zz' }] },
      /the volume of zz on h2 is still to be removed/,
    ],
    ['a call without an answer', said({ ...entry, unanswered: 1 }), /was not answered within 60 s/],
    [
      'what a stranger sees',
      said({ ...entry, operation: 'spy', wrong: 'a stranger sees 200' }),
      /7, other tenants: ada: a stranger sees 200/,
    ],
    [
      "another owner's mark",
      said({ ...entry, wrong: 'its browser has the mark of bea' }),
      /isolation: ada: its browser has/,
    ],
    [
      'a runtime that a restart has ended',
      { history: { entries: [entry], strikes: [{ ...struck, wrong: ['x was stopped'] }], deaths: [], startedAt: 0 } },
      /5, restarts: kill a gateway \(gateway 1\): x was stopped/,
    ],
    [
      'what was not whole again in time',
      { history: { entries: [entry], strikes: [{ ...struck, failed: 'h1 is not live' }], deaths: [], startedAt: 0 } },
      /10, deadlines: kill a gateway \(gateway 1\): h1 is not live/,
    ],
    [
      'a runtime that ended although nothing was struck that may end one',
      {
        ...gone({ state: 'failed', error: { code: 'crashed', detail: 'exit code 1' } }),
        events: [...whole().events, { ...event('running', 'failed', 2), reason: 'crashed' }],
        history: { entries: [entry], strikes: [struck], deaths: [], startedAt: 0 },
      },
      /5, restarts: rt_A became failed \(crashed\) at 0.0 s, and nothing was struck/,
    ],
    [
      'a runtime that ended while another host was struck',
      {
        ...gone({ state: 'failed', error: { code: 'crashed', detail: 'exit code 1' } }),
        events: [...whole().events, { ...event('running', 'failed', 2), reason: 'crashed' }],
        history: {
          ...{ entries: [entry], deaths: [], startedAt: 0 },
          strikes: [
            { ...struck, fault: 'kill a dockerd', touched: { host: 'h2' } },
            { ...struck, fault: 'kill a container', touched: { container: 'c-other' } },
          ],
        },
      },
      /5, restarts: rt_A became failed \(crashed\) at 0.0 s, and nothing was struck that may end it/,
    ],
    [
      'a gateway that ended by itself',
      {
        history: {
          entries: [entry],
          strikes: [],
          deaths: [{ what: 'gateway-1', at: 1500, exit: 'exit code 1' }],
          startedAt: 0,
        },
      },
      /5, restarts: gateway-1 ended by itself at 1.5 s \(exit code 1\): see gateway-1.log/,
    ],
    ['a runtime that failed without a reason', gone({ state: 'failed' }), /rt_A is failed, and nobody is told why/],
    [
      'another answer to the same key',
      said({ ...entry, operation: 'create again', wrong: '201 rt_A g1, and with the same key 200 rt_A g1' }),
      /acknowledged creates: ada: 201 rt_A g1, and with the same key 200/,
    ],
    ['a volume without a name of ours', has({ volumes: [`v-${hash}`, 'f00d'] }), /f00d on h1 is nobody's/],
    [
      'memory that is not given back',
      { footprints: { before: footprint(), after: footprint({ residentBytes: 400 * 2 ** 20 }) } },
      /nothing leaks: agent 1 has 400 MiB, and had 100 MiB/,
    ],
    [
      'sockets that are not closed',
      { footprints: { before: footprint(), after: footprint({ sockets: 99 }) } },
      /agent 1 has 99 sockets, and had 10/,
    ],
    [
      'a program that was left running',
      { footprints: { before: footprint(), after: footprint({ children: ['iptables'] }) } },
      /agent 1 has left iptables running/,
    ],
    [
      'a cable that hangs loose',
      { footprints: { before: footprint(), after: footprint({}, 2) } },
      /h1 has 2 containers' cables for 1 containers/,
    ],
  ] as [string, Partial<Evidence>, RegExp][])
    it(`names ${what}`, () => {
      const lines = check(whole(change)).map(({ invariant, what }) => `${invariant}: ${what}`)
      assert.match(lines.join('\n'), expected)
    })
})
