import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HostView, RuntimeRow } from '@porthole/db'
import { pino } from 'pino'
import { createUseAsker } from './idle-hosts.ts'
import { fakeHost } from './testing.ts'

const setUp = () => {
  const lines: string[] = []
  const clock = { ms: 0 }
  const host = fakeHost()
  const log = pino({}, { write: (line: string) => lines.push(line) })
  const asker = createUseAsker({ agents: host.agents, log, ms: 20, now: () => clock.ms })
  const ask = (id: string, on = 'host_1') =>
    asker.ask({ id: on } as HostView, { id, generation: 1, hostId: on } as RuntimeRow)
  const has = (id: string, more = {}) =>
    host.containers.set(id, { id, generation: 1, ownerHash: 'a'.repeat(16), state: 'running', ...more })
  return { lines, clock, host, ask, has }
}

test('a host that does not answer in time is left alone with all its runtimes, longer each time', async () => {
  const { clock, host, ask, has } = setUp()
  has('rt_2', { unusedMs: 5 })
  host.script.probe = () => new Promise(() => {})
  for (const againMs of [15_000, 30_000, 60_000, 120_000, 240_000, 240_000]) {
    assert.deepEqual(await ask('rt_1'), { againMs })
    assert.deepEqual(await ask('rt_2'), { againMs }, 'not asked')
    clock.ms += againMs
  }
  host.script.probe = async () => {}
  assert.deepEqual(await ask('rt_2'), { unusedMs: 5 })
})

test('a host that answers and does not say is asked of others, and that is logged once', async () => {
  const { lines, ask, has } = setUp()
  has('rt_1')
  has('rt_2', { unusedMs: 5 })
  has('rt_3')
  assert.deepEqual(await ask('rt_1'), { againMs: 15_000 })
  assert.deepEqual(await ask('rt_2'), { unusedMs: 5 })
  assert.deepEqual(await ask('rt_3'), { againMs: 15_000 })
  assert.equal(lines.length, 1)
})
