import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as pathOf } from 'node:path'
import { type TestContext, test } from 'node:test'
import { loadIdentity } from './identity.ts'
import { createChallenges, JoinRefused } from './joining.ts'
import { join } from './membership.ts'
import { silent } from './testing/orders.ts'

const here = { gatewayUrl: 'http://127.0.0.1:4747', url: 'http://127.0.0.1:4748' }

/** A gateway: what it answers to a join, by its status; `silent` holds every request until it is given up. */
type Gateway = number | 'silent'

/** A host, started again and again on one data directory with a token. */
const bench = async (t: TestContext) => {
  const dataDir = await mkdtemp(pathOf(tmpdir(), 'porthole-agent-'))
  t.after(() => rm(dataDir, { recursive: true }))
  let asked = 0
  const start = async (gateway: Gateway | Gateway[], { gatewayUrl, url } = here, signal: AbortSignal = t.signal) => {
    const answers = [gateway].flat()
    const send: typeof fetch = async (_, init) => {
      asked++
      const status = (answers.length > 1 ? answers.shift() : answers[0]) ?? 'silent'
      if (status !== 'silent')
        return Response.json({ hostId: `host_${asked}`, detail: 'the token is used up' }, { status })
      const over = init?.signal ?? assert.fail('no deadline')
      if (!over.aborted) await new Promise(resolve => over.addEventListener('abort', resolve))
      throw over.reason
    }
    const identity = await loadIdentity(dataDir)
    const { hostId } = await join({
      ...{ config: { gatewayUrl, dataDir, hostName: 'box', joinToken: 'one-time' }, identity, url, signal },
      ...{ certificates: undefined, challenges: createChallenges(identity.privateKey), fetch: send, log: silent },
    })
    return hostId
  }
  return { start, asked: () => asked }
}

/** Lets a hundredth of every deadline pass as all of it. */
const hurry = (t: TestContext) => {
  const timeout = AbortSignal.timeout.bind(AbortSignal)
  t.mock.method(AbortSignal, 'timeout', (ms: number) => timeout(ms / 100))
}

test('a host whose token is used up goes on as the host that it became with it', async t => {
  const { start, asked } = await bench(t)
  assert.equal(await start(200), 'host_1')
  for (const refusal of [400, 401, 403, 409]) assert.equal(await start(refusal), 'host_1')
  assert.equal(asked(), 5)
  assert.equal(await start(200), 'host_6', 'a token that is good is used')
  assert.equal(await start(403), 'host_6')
})

test('a refusal ends a host that has not joined this gateway at this URL', async t => {
  const { start } = await bench(t)
  const isRefused = (error: unknown) => error instanceof JoinRefused && /the token is used up/.test(error.message)
  await assert.rejects(start(403), isRefused)
  await start(200)
  await assert.rejects(start(403, { ...here, url: 'http://127.0.0.1:4749' }), isRefused)
  await assert.rejects(start(403, { ...here, gatewayUrl: 'http://127.0.0.1:4746' }), isRefused)
  assert.equal(await start(403), 'host_2', 'what it was before is not forgotten')
})

test('a host that has joined waits only seconds for a gateway that does not answer', async t => {
  const { start, asked } = await bench(t)
  await start(200)
  hurry(t)
  // One try: a deadline of its own, shorter than that of a try, is over before there is a second.
  assert.equal(await start('silent'), 'host_1')
  assert.equal(asked(), 2)
  assert.equal(await start(503), 'host_1')
  assert.equal(asked(), 3)
})

test('a host that has not joined waits for its gateway for longer', async t => {
  const { start, asked } = await bench(t)
  hurry(t)
  assert.equal(await start([503, 'silent', 200]), 'host_3')
  assert.equal(asked(), 3)
})

test('a host that is told to end while it joins anew does not go on as what it was', async t => {
  const { start } = await bench(t)
  await start(200)
  const stop = new AbortController()
  const starting = start('silent', here, stop.signal)
  const ended = assert.rejects(starting, /told to end/)
  stop.abort(new Error('told to end'))
  await ended
})
