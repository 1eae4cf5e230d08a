import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { type Database, findHost, type RuntimeRow } from '@porthole/db'
import {
  type AgentErrorCode,
  agentErrors,
  type RuntimeFacts,
  type StartCommand,
  type StartSteps,
} from '@porthole/protocol'
import type { Logger } from 'pino'
import { AgentRefused, type Agents, AgentUnreachable } from '../agents/client.ts'
import { Problem } from '../problem.ts'
import type { Changes } from './changes.ts'
import { type Conductor, createConductor } from './conductor.ts'
import { createDriver, type Driver } from './driver.ts'
import { createPlacement } from './placement.ts'
import type { Room } from './room.ts'

export const refusal = (code: AgentErrorCode, more: object = {}) =>
  new AgentRefused({ type: `urn:x:${code}`, title: agentErrors[code][1], status: agentErrors[code][0], code, ...more })

/** A host whose containers are a map, and whose answers a test can change. The real one is in the flow tests. */
export const fakeHost = () => {
  const containers = new Map<string, RuntimeFacts>()
  const calls: string[] = []
  const script = {
    start: async (_runtimeId: string) => {},
    /** What its starts tell of their steps. */
    steps: undefined as StartSteps | undefined,
    remove: async () => {},
    stop: async () => {},
    probe: async () => {},
    turn: async (_to: 'paused' | 'running') => {},
    read: async () => {},
    write: async (_text: string) => {},
    removeVolume: async () => {},
  }
  /** By host and owner: what is in a volume. */
  const volumes = new Map<string, string>()
  const digestOf = (text: string) => ({
    digest: Buffer.from(text).toString('base64url').slice(0, 64),
    files: 1,
    bytes: text.length,
  })
  const turn = (to: 'paused' | 'running') => async (id: string) => {
    calls.push(to === 'paused' ? 'pause' : 'resume')
    await script.turn(to)
    const facts = containers.get(id)
    if (!facts) throw refusal('not-found')
    containers.set(id, { ...facts, state: to })
  }
  const agents: Agents = {
    at: ({ id }) => ({
      start: async (id, { generation, ownerHash }) => {
        calls.push(`start ${generation}`)
        await script.start(id)
        containers.set(id, { id, generation, ownerHash, state: 'running', healthy: true })
        return { id, generation, ownerHash, state: 'running', ...(script.steps && { steps: script.steps }) }
      },
      stop: async id => {
        calls.push('stop')
        await script.stop()
        containers.delete(id)
      },
      volumes: {
        digest: async ({ ownerHash }) => {
          const text = volumes.get(`${id} ${ownerHash}`)
          return text === undefined ? undefined : digestOf(text)
        },
        read: async ({ ownerHash }) => {
          await script.read()
          return Readable.from([volumes.get(`${id} ${ownerHash}`) ?? ''])
        },
        write: async ({ ownerHash }, archive, signal) => {
          if (volumes.has(`${id} ${ownerHash}`)) throw refusal('wrong-state')
          const text = (await archive.toArray()).join('')
          const cut = once(signal, 'abort').then(() => {
            throw new AgentUnreachable('cut')
          })
          await Promise.race([script.write(text), cut])
          volumes.set(`${id} ${ownerHash}`, text)
          return digestOf(text)
        },
        remove: async ({ ownerHash }) => {
          await script.removeVolume()
          volumes.delete(`${id} ${ownerHash}`)
        },
      },
      pause: turn('paused'),
      resume: turn('running'),
      remove: async (runtime, { removeVolume, ownerHash }) => {
        calls.push(removeVolume ? 'remove with volume' : 'remove')
        await script.remove()
        containers.delete(runtime)
        if (removeVolume) volumes.delete(`${id} ${ownerHash}`)
      },
      probe: async id => {
        await script.probe()
        return containers.get(id)
      },
    }),
  }
  return { agents, containers, volumes, calls, script }
}

/** Whether what was thrown is the problem of that code. */
export const codeOf = (code: string) => (error: unknown) => {
  assert(error instanceof Problem, String(error))
  assert.equal(error.code, code)
  return true
}

export type TestGateway = Conductor & { driver: Driver }

/** What moves runtimes in one gateway, over a fake host. */
export const testGateway = ({
  database: { db },
  changes,
  room,
  host,
  log,
  commandFor = async row => ({
    generation: row.generation,
    tenant: row.tenant,
    ownerHash: row.ownerHash,
    recipe: {} as never,
    env: {},
    deadlineMs: 1000,
  }),
  makeRoom = async () => false,
}: {
  database: Pick<Database, 'db'>
  changes: Changes
  /** Asked for late: a room tells a driver, and a driver asks a room. */
  room: () => Room
  host: ReturnType<typeof fakeHost>
  log: Logger
  commandFor?: (row: RuntimeRow) => Promise<StartCommand>
  makeRoom?: Parameters<typeof createPlacement>[0]['makeRoom']
}): TestGateway => {
  const within: Room['within'] = (...args) => room().within(...args)
  const placement = createPlacement({ db, imageOf: () => undefined, makeRoom })
  const driver = createDriver({
    db,
    agents: host.agents,
    placement,
    room: { within },
    log,
    commandFor,
  })
  const conductor = createConductor({
    db,
    agents: host.agents,
    changes,
    driver,
    placement,
    room: { within },
    hostOf: id => findHost(db, id),
  })
  return { ...conductor, driver }
}
