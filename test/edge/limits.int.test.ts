import assert from 'node:assert/strict'
import { after, before, describe, it, type TestContext } from 'node:test'
import { visit } from '../../agent/protocol/relay/front.ts'
import { RawUpstream, switching, within } from '../../agent/protocol/relay/relay-kit.ts'
import { eventually } from '../kit/eventually.ts'
import { type EdgeWorld, startEdgeWorld } from './world.ts'

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

describe('limits of what is open', { concurrency: true }, () => {
  let world: EdgeWorld
  before(async () => {
    world = await startEdgeWorld({
      ...{ PORTHOLE_MAX_OPEN_PER_OWNER: '2', PORTHOLE_SOCKET_IDLE: '2', PORTHOLE_SOCKET_AGE: '8' },
    })
  })
  after(() => world.close())

  const opened = async (t: TestContext) => {
    const upstream = await RawUpstream.start(t)
    const front = await world.open(upstream.origin)
    const join = async () => {
      const client = (await visit(t, front)).upgrade()
      const there = (await upstream.request()).send(switching)
      await client.until('101')
      return { client, there }
    }
    return { upstream, front, join }
  }

  it('an owner with as many as it may have is told by a 429 for a request and for an upgrade, until one has ended', async t => {
    const { upstream, front, join } = await opened(t)
    const [first] = [await join(), await join()]
    const refused = (await visit(t, front)).ask('GET', '/')
    const text = await refused.until('close some of them')
    assert.match(text, /^HTTP\/1\.1 429 .*\r\nretry-after: 5\r\n.*"code":"too-many-open"/is)
    const socket = (await visit(t, front)).upgrade()
    assert.match(await socket.untilOver(), /^HTTP\/1\.1 429 .*\r\nretry-after: 5\r\n.*"code":"too-many-open"/is)
    assert.equal(upstream.connections, 2)

    const other = await opened(t)
    const theirs = (await visit(t, other.front)).ask('GET', '/')
    ;(await other.upstream.request()).send(ok)
    await theirs.until('\r\n\r\nok')

    first.client.socket.destroy()
    await eventually(async () => {
      const asked = (await visit(t, front)).ask('GET', '/room')
      ;(await within(upstream.heard('GET /room'), 'the request', 500)).send(ok)
      await asked.until('\r\n\r\nok')
    })
  })

  it('what is open to a runtime is listed and counted', async t => {
    const { front, join } = await opened(t)
    const { client } = await join()
    const list = async () => {
      const answer = await fetch(`http://127.0.0.1:${front.port}/v1/runtimes/${world.runtimeOf(front)}/connections`, {
        headers: { authorization: front.credentials[0]?.slice('Authorization: '.length) ?? '' },
      })
      assert.equal(answer.status, 200)
      return (await answer.json()) as { counts: Record<string, number>; items: Record<string, unknown>[] }
    }
    const { counts, items } = await list()
    assert.deepEqual([counts.rpc, counts.view, counts.cdp], [1, 0, 0])
    const [{ openedAt, ...entry } = {}] = items
    assert.deepEqual(entry, { door: 'rpc', kind: 'socket', access: 'control', subject: 't' })
    assert(Math.abs(Date.now() - Date.parse(String(openedAt))) < 60_000)
    client.socket.destroy()
    await eventually(async () => assert.deepEqual((await list()).items, []))
  })

  it('a socket that is silent both ways ends, one with a byte now and then ends at its age', async t => {
    const { join } = await opened(t)
    const silent = await join()
    const pinged = await join()
    const startedAt = performance.now()
    const ended = async ({ client }: Awaited<ReturnType<typeof join>>) => {
      await within(Promise.race([client.ended, client.closed]), 'the end', 15_000)
      return performance.now() - startedAt
    }
    const beat = setInterval(() => pinged.there.send('x'), 500)
    const [silence, age] = await Promise.all([ended(silent), ended(pinged)]).finally(() => clearInterval(beat))
    assert(silence >= 1_500 && silence < 6_000, `silence ended it after ${silence} ms`)
    assert(age >= 7_000 && age < 13_000, `age ended it after ${age} ms`)
  })
})
