import assert from 'node:assert/strict'
import http from 'node:http'
import { after, before, describe, it, type TestContext } from 'node:test'
import {
  claimOwner,
  connect,
  type Database,
  putTenant,
  type RuntimeRow,
  startOn,
  toDeleted,
  toDeleting,
  toRunning,
} from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import { freshDatabase } from '../../../test/kit/database.ts'
import { eventually } from '../../../test/kit/eventually.ts'
import { testLog } from '../../../test/kit/logs.ts'
import { parseConfig } from '../config.ts'
import { type Gateway, serve } from '../server.ts'
import { mintToken } from '../tokens/caller.ts'
import { createIssuer, type Issuer } from '../tokens/issuer.ts'
import { createSeal } from '../tokens/seal.ts'

const secret = 'a secret of the tests, long enough'
const lease = 60_000

describe('the stream of what happens to a runtime', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  let issuer: Issuer
  let gateway: Gateway
  let made = 0

  before(async () => {
    fresh = await freshDatabase()
    const config = parseConfig({ DATABASE_URL: fresh.url, PORTHOLE_SECRET: secret, PORT: '0' })
    gateway = await serve(config, testLog('event-stream'))
    database = connect(fresh.url)
    for (const slug of ['default', 'acme']) await putTenant(database.db, { slug, mode: 'docker-per-principal' })
    issuer = await createIssuer(database.db, createSeal(secret), Date.now)
    await addHost(database.db, 'h1', 100)
  })
  after(async () => {
    await database.close()
    await gateway.close()
    await fresh.drop()
  })

  const tokenOf = (tenant: string, seconds = 600) => {
    made += 1
    return mintToken(issuer, { tenant, subject: 's', scopes: ['runtimes:read'], jti: `t${made}` }, seconds)
  }
  const starting = async (): Promise<RuntimeRow> => {
    made += 1
    const claimed = await claimOwner(database.db, wanted(`owner${made}`), lease)
    const started = claimed && (await startOn(database.db, claimed.row, 'h1', lease))
    return typeof started === 'object' ? started : assert.fail()
  }

  /** A client's connection, and what came on it so far. */
  const follow = async (t: TestContext, { id }: { id: string }, headers: Record<string, string>) => {
    const url = `${gateway.url}/v1/runtimes/${id}/events`
    const request = http.get(url, { agent: false, headers: { accept: 'text/event-stream', ...headers } })
    t.after(() => request.destroy())
    const response = await new Promise<http.IncomingMessage>((resolve, reject) =>
      request.once('response', resolve).once('error', reject),
    )
    request.on('error', () => {})
    let text = ''
    let isOver = false
    response.setEncoding('utf8').on('data', more => {
      text += more
    })
    response.once('close', () => {
      isOver = true
    })
    const events = () =>
      text.split('\n\n').flatMap(block => {
        const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1]
        const [event, seq, data] = [field('event'), field('id'), field('data')]
        return event && seq && data ? [{ event, seq, data: JSON.parse(data) }] : []
      })
    return {
      response,
      events,
      names: () => events().map(({ event }) => event.replace('runtime.', '')),
      isOver: () => isOver,
      leave: () => request.destroy(),
    }
  }
  const bearer = async (tenant = 'default', seconds?: number) => ({
    authorization: `Bearer ${await tokenOf(tenant, seconds)}`,
  })

  it('tells what has been and what comes, each once and in order, and ends with the runtime', async t => {
    const row = await starting()
    const stream = await follow(t, row, await bearer())
    assert.equal(stream.response.statusCode, 200)
    assert.equal(stream.response.headers['content-type'], 'text/event-stream')
    await eventually(() => assert.deepEqual(stream.names(), ['pending', 'starting']))
    const running = (await toRunning(database.db, row, { startMs: 5 })) ?? assert.fail()
    const toldAt = performance.now()
    await eventually(() => assert.deepEqual(stream.names(), ['pending', 'starting', 'running']), 2000, 5)
    // By a hint, not by the look that makes up for lost ones.
    assert.ok(performance.now() - toldAt < 1000)
    const { seq, data } = stream.events().at(-1) ?? assert.fail()
    assert.deepEqual([String(data.seq), data.to, data.data], [seq, 'running', { startMs: 5 }])
    const deleting = (await toDeleting(database.db, running, true, lease)) ?? assert.fail()
    await toDeleted(database.db, deleting)
    await eventually(() => assert.ok(stream.isOver()))
    assert.deepEqual(stream.names(), ['pending', 'starting', 'running', 'deleting', 'deleted'])
  })

  it('goes on behind the last event that its client has, and says when nothing more will come', async t => {
    const row = await starting()
    const running = (await toRunning(database.db, row)) ?? assert.fail()
    const headers = await bearer()
    const first = await follow(t, row, headers)
    await eventually(() => assert.equal(first.names().length, 3))
    const [, second] = first.events()
    first.leave()
    const again = await follow(t, row, { ...headers, 'last-event-id': second?.seq ?? '' })
    await eventually(() => assert.deepEqual(again.names(), ['running']))
    const deleting = (await toDeleting(database.db, running, true, lease)) ?? assert.fail()
    await toDeleted(database.db, deleting)
    await eventually(() => assert.ok(again.isOver()))
    const last = again.events().at(-1)?.seq ?? ''
    assert.equal((await follow(t, row, { ...headers, 'last-event-id': last })).response.statusCode, 204)
    const late = await follow(t, row, { ...headers, 'last-event-id': String(Number(last) - 1) })
    await eventually(() => assert.deepEqual(late.names(), ['deleted']))
  })

  it('is for its tenant alone, and refuses what is no number', async t => {
    const row = await starting()
    assert.equal((await follow(t, row, await bearer('acme'))).response.statusCode, 404)
    assert.equal((await follow(t, row, {})).response.statusCode, 401)
    const odd = await follow(t, row, { ...(await bearer()), 'last-event-id': 'x' })
    assert.equal(odd.response.statusCode, 400)
  })

  it('counts as open, and ends with its right and with its client', async t => {
    const row = await starting()
    const connections = async () => {
      const answer = await fetch(`${gateway.url}/v1/runtimes/${row.id}/connections`, { headers: await bearer() })
      return ((await answer.json()) as { counts: { events: number } }).counts.events
    }
    const short = await follow(t, row, await bearer('default', 2))
    const left = await follow(t, row, await bearer())
    await eventually(async () => assert.equal(await connections(), 2))
    left.leave()
    await eventually(async () => assert.ok((await connections()) < 2))
    await eventually(() => assert.ok(short.isOver()), 6000)
    await eventually(async () => assert.equal(await connections(), 0))
  })

  it('is not opened for who asks for its head alone', async () => {
    const row = await starting()
    const headers = { accept: 'text/event-stream', ...(await bearer()) }
    const url = `${gateway.url}/v1/runtimes/${row.id}`
    const head = await fetch(`${url}/events`, { method: 'HEAD', headers })
    assert.deepEqual([head.status, head.headers.get('content-type')], [200, 'text/event-stream'])
    const open = await (await fetch(`${url}/connections`, { headers: await bearer() })).json()
    assert.equal((open as { counts: { events: number } }).counts.events, 0)
  })

  it('waits for who does not read, and ends all the same when their right does', async t => {
    const row = await starting()
    const large = JSON.stringify({ text: 'x'.repeat(60_000) })
    for (let n = 0; n < 300; n += 1)
      await database.db.$client`
        insert into events (tenant, runtime_id, type, generation, from_state, to_state, data)
        values ('default', ${row.id}, 'runtime.expiring', 1, 'running', 'running', ${large}::text::jsonb)`
    const stuck = await follow(t, row, await bearer('default', 3))
    stuck.response.pause()
    const counted = async () => {
      const answer = await fetch(`${gateway.url}/v1/runtimes/${row.id}/connections`, { headers: await bearer() })
      return ((await answer.json()) as { counts: { events: number } }).counts.events
    }
    assert.equal(await counted(), 1)
    await eventually(async () => assert.equal(await counted(), 0), 8000)
  })
})
