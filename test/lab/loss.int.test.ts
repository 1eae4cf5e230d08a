import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { connect, type Database, events, hosts, profiles, runtimes } from '@porthole/db'
import { books } from '../chaos/checks/books.ts'
import { oneEach } from '../chaos/checks/containers.ts'
import { profilesKept } from '../chaos/checks/profiles.ts'
import { settled } from '../chaos/checks/settled.ts'
import { reasons, walks } from '../chaos/checks/walks.ts'
import { footprintOf } from '../chaos/footprint.ts'
import { gather } from '../chaos/gather.ts'
import { eventually } from '../kit/eventually.ts'
import type { Runtime } from '../kit/runtime.ts'
import { type Lab, type LabHost, labTimeout, noLab, startLab } from './kit.ts'
import { volumesOn } from './volume.ts'

/** What is allowed on top of a time that the design tells: a look every two seconds, on a machine that others use too. */
const slackSeconds = 10
/** Milliseconds until all is in order again: what a host refuses at first is tried again after half a minute. */
const settledWithin = 100_000

/** One waits for the host, which has the profile; one does not; one has no profile; one goes. */
const owners = {
  patient: { userId: 'patient' },
  hasty: { userId: 'hasty' },
  errand: { mode: 'docker-per-task', taskId: 'errand' },
  leaving: { userId: 'leaving' },
} as const
type Owner = keyof typeof owners
const strangersHash = '0000000000000000'

describe('a host that is cut off until its runtimes are lost, and comes back', {
  skip: noLab(),
  concurrency: false,
}, () => {
  let lab: Lab
  let database: Database
  let silent: LabHost
  let other: LabHost
  const first = new Map<Owner, Runtime>()
  /** Of the owners that have started elsewhere meanwhile. */
  const second = new Map<Owner, Runtime>()

  before(
    async () => {
      // Two, of which one is not more than half: nobody is given up when more than that are silent at once.
      lab = await startLab({ hosts: 2 })
      database = connect(lab.databaseUrl, { max: 2 })
      const [one, two] = lab.hosts
      assert(one && two)
      silent = one
      other = two
      await operator('POST', `/v1/hosts/${other.id}/cordon`)
      first.set('patient', await ensured('patient'))
      await startStranger()
      for (const owner of ['hasty', 'errand', 'leaving'] as const) first.set(owner, await ensured(owner))
      for (const { host } of first.values()) assert.equal(host, silent.id)
      await operator('POST', `/v1/hosts/${other.id}/uncordon`)
      await silent.cut()
    },
    { timeout: labTimeout },
  )
  after(
    async () => {
      await database?.close()
      await lab?.close()
    },
    { timeout: 120_000 },
  )

  const operator = async <T = unknown>(method: string, path: string): Promise<T> => {
    const answer = await lab.call(method, path, undefined, { token: lab.adminToken })
    const text = await answer.text()
    assert(answer.ok, `${method} ${path}: ${answer.status} ${text}`)
    return JSON.parse(text) as T
  }
  type HostFacts = { state: string; reserved: { memoryBytes: number; cpuMillis: number; slots: number; gpus: number } }
  const factsOf = ({ id }: LabHost) => operator<HostFacts>('GET', `/v1/hosts/${id}`)

  const ensure = (owner: Owner, more: object = {}) =>
    lab.call('POST', '/v1/runtimes', { ...owners[owner], wait: 60, ...more })
  const ensured = async (owner: Owner, more?: object) => {
    const answer = await ensure(owner, more)
    const text = await answer.text()
    assert(answer.ok, `${answer.status} ${text}`)
    return JSON.parse(text) as Runtime
  }
  const firstOf = (owner: Owner) => first.get(owner) ?? assert.fail(`${owner} has not started`)
  const secondOf = (owner: Owner) => second.get(owner) ?? assert.fail(`${owner} has not started elsewhere`)
  const now = async (owner: Owner) => {
    const rows = await database.db.select().from(runtimes)
    return rows.find(({ id }) => id === firstOf(owner).id) ?? assert.fail(`${owner} has no row`)
  }
  const browserOf = ({ urls }: Runtime) =>
    lab.call('GET', `${new URL(urls.cdp).pathname}/json/version`, undefined, { signal: AbortSignal.timeout(10_000) })

  /** A container with the labels of one of ours whose runtime nobody has ever heard of. */
  const startStranger = async () => {
    const name = `${lab.names.containerPrefix}${firstOf('patient').ownerHash}`
    const { Config } = await silent.docker.getContainer(name).inspect()
    const stranger = await silent.docker.createContainer({
      name: `${lab.names.containerPrefix}${strangersHash}`,
      Image: Config.Image,
      Entrypoint: ['/usr/local/bin/node', '-e', 'setInterval(() => {}, 1e6)'],
      Labels: {
        ...Config.Labels,
        'porthole.runtime': 'rt_00000000000000000000000000',
        'browser_use.owner_hash': strangersHash,
      },
    })
    await stranger.start()
  }
  const containersOn = async ({ docker }: LabHost) => {
    const all = await docker.listContainers({ all: true, filters: { name: [lab.names.containerPrefix] } })
    return all.flatMap(({ Names }) => Names.map(name => name.slice(`/${lab.names.containerPrefix}`.length))).sort()
  }
  const hashesOf = (...of: Owner[]) => of.map(owner => firstOf(owner).ownerHash).sort()

  it('is unreachable after 20 s: its views answer 503, its runtimes are not given up, and a delete is remembered', async () => {
    await eventually(async () => assert.equal((await factsOf(silent)).state, 'unreachable'), 40_000, 100)
    const [row] = await database.db.execute<{ silence: string }>(
      `select extract(epoch from now() - last_seen_at) as silence from hosts where id = '${silent.id}'`,
    )
    const silence = Number(row?.silence)
    assert(silence >= 20 && silence < 20 + slackSeconds, `unreachable after ${silence} s`)
    await eventually(async () => {
      const answer = await browserOf(firstOf('patient'))
      assert.equal(answer.status, 503)
      assert.equal(((await answer.json()) as { code: string }).code, 'host-unreachable')
      assert(Number(answer.headers.get('retry-after')) > 0)
    })
    for (const owner of ['patient', 'hasty', 'errand'] as const) assert.equal((await now(owner)).state, 'running')
    // Its runtime may still be running there: nobody starts a second one.
    assert.equal((await ensure('errand', { wait: 1 })).status, 503)
    const deleted = await lab.call('DELETE', `/v1/runtimes/${firstOf('leaving').id}?profile=delete`)
    assert.equal(deleted.status, 202, await deleted.text())
  })

  it('is lost after 60 s: so are its runtimes, and what they held there is free', async () => {
    await eventually(
      async () => {
        for (const owner of ['patient', 'hasty', 'errand'] as const) assert.equal((await now(owner)).state, 'lost')
        assert.deepEqual((await factsOf(silent)).reserved, { memoryBytes: 0, cpuMillis: 0, slots: 0, gpus: 0 })
      },
      70_000,
      250,
    )
    const [host] = (await database.db.select().from(hosts)).filter(({ id }) => id === silent.id)
    const losses = (await database.db.select().from(events)).filter(({ toState }) => toState === 'lost')
    for (const { at } of losses) {
      const silence = (at.getTime() - (host?.lastSeenAt?.getTime() ?? Number.NaN)) / 1000
      assert(silence >= 60 && silence < 60 + slackSeconds, `lost after ${silence} s`)
    }
    assert.equal(losses.length, 3)
    assert.equal((await factsOf(silent)).state, 'lost')
    assert.equal((await now('leaving')).state, 'deleting')
  })

  it('its owners start elsewhere as new generations, unless they want their profiles back', async () => {
    const refused = await ensure('patient')
    const problem = (await refused.json()) as { code: string }
    assert.deepEqual([refused.status, problem.code], [503, 'profile-unavailable'])
    assert(Number(refused.headers.get('retry-after')) > 0)
    second.set('errand', await ensured('errand'))
    second.set('hasty', await ensured('hasty', { profile: 'fresh' }))
    for (const [owner, { id, generation, host, state }] of second)
      assert.deepEqual(
        { id, generation, host, state },
        { id: firstOf(owner).id, generation: firstOf(owner).generation + 1, host: other.id, state: 'running' },
      )
    // It knows nothing of all that.
    assert.deepEqual(
      await containersOn(silent),
      [...hashesOf('patient', 'hasty', 'errand', 'leaving'), strangersHash].sort(),
    )
  })

  it('once it is back, every owner has one container, what is held is what runs, and nothing else is left', async () => {
    const kept = await silent.docker
      .getContainer(`${lab.names.containerPrefix}${firstOf('patient').ownerHash}`)
      .inspect()
    const elsewhere = await other.docker
      .getContainer(`${lab.names.containerPrefix}${secondOf('errand').ownerHash}`)
      .inspect()
    await silent.heal()
    await eventually(
      async () => {
        const history = { startedAt: Date.now(), entries: [], strikes: [], deaths: [] }
        const seen = await gather(lab, database.db, { history, callMs: 0, before: await footprintOf(lab) })
        const wrong = [oneEach, books, profilesKept, settled, walks, reasons].flatMap(look => look(seen))
        assert.deepEqual(wrong, [])
      },
      settledWithin,
      500,
    )
    assert.deepEqual(await containersOn(silent), hashesOf('patient'))
    assert.deepEqual(await containersOn(other), hashesOf('hasty', 'errand'))
    const volumes = (...of: Owner[]) => hashesOf(...of).map(hash => `${lab.names.volumePrefix}${hash}`)
    assert.deepEqual(await volumesOn(silent), volumes('patient'))
    assert.deepEqual(await volumesOn(other), volumes('hasty', 'errand'))
    assert.equal((await factsOf(silent)).reserved.slots, 1)
    assert.equal((await factsOf(other)).reserved.slots, 2)
    assert.equal((await now('leaving')).state, 'deleted')
    assert.deepEqual((await database.db.select().from(profiles)).map(({ owner }) => owner).sort(), [
      'errand',
      'hasty',
      'patient',
    ])

    // Nobody has touched those that may stay.
    for (const [{ Id, State }, { docker }] of [
      [kept, silent],
      [elsewhere, other],
    ] as const)
      assert.equal((await docker.getContainer(Id).inspect()).State.StartedAt, State.StartedAt)
    assert.equal((await browserOf(firstOf('patient'))).status, 200)
    for (const owner of ['patient', 'hasty', 'errand'] as const) {
      const { id, generation, host } = await ensured(owner)
      const last = second.get(owner) ?? firstOf(owner)
      assert.deepEqual({ id, generation, host }, { id: last.id, generation: last.generation, host: last.host })
      assert.equal((await browserOf(last)).status, 200)
    }
  })
})
