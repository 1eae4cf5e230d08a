import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import postgres from 'postgres'
import WebSocket from 'ws'
import { connectRfb, type RfbClient } from '../../infra/runtime/testing/rfb-client.ts'
import { type Cdp, connectCdp } from '../kit/cdp.ts'
import { eventually } from '../kit/eventually.ts'
import { portApp } from '../kit/port-app.ts'
import { authorization, ensure, type Runtime, remove } from '../kit/runtime.ts'
import { startStack, type TestStack } from '../kit/stack.ts'

/** Of an image that says nothing of its use. */
const specs = {
  site: {
    entrypoint: ['/usr/local/bin/node'],
    command: ['-e', portApp],
    ports: { app: 3000 },
    health: { port: 'app', path: '/health' },
    memoryBytes: 256 * 1024 ** 2,
  },
}

describe('a runtime that nobody uses', { concurrency: false }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'porthole-specs-'))
  let stack: TestStack
  let sql: postgres.Sql
  let alice: Runtime
  let view: RfbClient
  let cdp: Cdp

  before(async () => {
    const file = join(folder, 'specs.json')
    writeFileSync(file, JSON.stringify(specs))
    stack = await startStack({ gatewaySettings: { PORTHOLE_SPECS: file } })
    sql = postgres(stack.databaseUrl, { max: 2 })
    alice = await ensure(stack, { userId: 'alice', idle: { stopAfter: 3600 } })
    view = await watch(alice)
    cdp = await connectCdp(socketUrl('cdp', alice), authorization(stack))
  })
  after(async () => {
    view?.close()
    cdp?.close()
    await sql?.end()
    await stack?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const socketUrl = (path: string, { ownerHash }: Runtime) =>
    `${stack.gatewayUrl.replace('http', 'ws')}/${path.replace('/', `/${ownerHash}/`)}${path.includes('/') ? '' : `/${ownerHash}`}`
  const watch = (runtime: Runtime) => connectRfb(socketUrl('view/websockify', runtime), authorization(stack))
  const eventsOf = async ({ id }: Runtime) =>
    (await sql`select type, reason from events where runtime_id = ${id} order by seq`).map(({ type, reason }) =>
      `${String(type).replace('runtime.', '')} ${reason ?? ''}`.trim(),
    )
  const until = async ({ id }: Runtime, state: string) => {
    const answer = await stack.call('GET', `/v1/runtimes/${id}/wait?state=${state}&timeout=60`)
    assert.equal(answer.status, 200, await answer.text())
  }

  /**
   * When it was last used by what its host says: the row is made to know of nothing, so that the gateway asks. That it has put
   * its next look off says that it has done: it would else put off the one that the next question is for.
   */
  const lastUse = async ({ id } = alice): Promise<number> => {
    await sql`update runtimes set last_used_at = now() - interval '3590 s', idle_at = now() where id = ${id}`
    return eventually(async () => {
      const [row] = await sql`
        select state, extract(epoch from last_used_at) * 1000 as used_at from runtimes
        where id = ${id} and last_used_at > now() - interval '3000 s' and idle_at > now() + interval '300 s'`
      assert(row, 'the gateway has asked the host')
      assert.equal(row.state, 'running')
      return Number(row.used_at)
    }, askedAgainMs)
  }
  /** A host that could not answer in time is left alone for 15 s. */
  const askedAgainMs = 45_000
  const databaseNow = async () => Number((await sql`select extract(epoch from now()) * 1000 as ms`)[0]?.ms)
  /** Hosts and gateways tell of the same use to so many milliseconds. */
  const sameMs = 500

  const uses: [string, () => Promise<unknown>][] = [
    [
      'typing',
      async () => {
        view.key(0x61)
        await view.capture()
      },
    ],
    [
      'clicking',
      async () => {
        view.pointer(300, 300, 1)
        view.pointer(300, 300, 0)
        await view.capture()
      },
    ],
    [
      'pasting',
      async () => {
        view.socket.send(Buffer.concat([Buffer.from([6, 0, 0, 0, 0, 0, 0, 5]), Buffer.from('hello')]))
        await view.capture()
      },
    ],
    ['a DevTools message', () => cdp.send('Browser.getVersion')],
    [
      'an RPC call',
      async () => {
        const headers = { ...authorization(stack), 'content-type': 'application/json' }
        const body = JSON.stringify({ actions: [{ type: 'wait', ms: 1 }] })
        assert.equal((await fetch(alice.urls.rpc, { method: 'POST', headers, body })).status, 200)
      },
    ],
  ]
  for (const [name, use] of uses)
    it(`${name} is use, and its host knows when it was`, async () => {
      const before = await lastUse()
      const from = await databaseNow()
      assert(before < from)
      await use()
      const used = await lastUse()
      assert(used >= from - sameMs, `used ${Math.round(from - used)} ms before it was`)
    })

  it('a view that repaints, pings, and whoever reads its state are no use', async () => {
    const before = await lastUse()
    await eventually(async () => assert((await databaseNow()) - before > 2 * sameMs))
    await view.capture()
    const pings = new WebSocket(socketUrl('cdp', alice), { headers: authorization(stack), perMessageDeflate: false })
    await once(pings, 'open')
    // That a client has come is use; that it stays is none.
    const opened = await lastUse()
    assert(opened > before)
    await eventually(async () => assert((await databaseNow()) - opened > 2 * sameMs))
    pings.ping()
    await once(pings, 'pong')
    await view.capture()
    for (const path of ['', '/wait?timeout=0', '/connections'])
      assert.equal((await stack.call('GET', `/v1/runtimes/${alice.id}${path}`)).status, 200)
    const after = await lastUse()
    // The gateway writes down once a second who has come: its word may be later than the host's, and not the other way round.
    assert(after - opened < sameMs, `used ${Math.round(after - opened)} ms later`)
    pings.terminate()
  })

  it('what comes to the ports of an image that says nothing is use, and a socket that is only open is none', async () => {
    const site = await ensure(stack, { userId: 'site', spec: 'site', idle: { stopAfter: 3600 } })
    const echo = new WebSocket(socketUrl('port/app/echo', site), {
      headers: authorization(stack),
      perMessageDeflate: false,
    })
    await once(echo, 'open')
    const opened = await lastUse(site)
    await eventually(async () => assert((await databaseNow()) - opened > 3 * sameMs))
    const still = await lastUse(site)
    assert(still - opened < sameMs, `used ${Math.round(still - opened)} ms later`)
    const from = await databaseNow()
    echo.send('hello')
    await once(echo, 'message')
    assert((await lastUse(site)) >= from - sameMs)
    echo.terminate()
    await remove(stack, site.id)
  })

  it('pongs to a server that pings are no use, and a message between them is', async () => {
    const site = await ensure(stack, { userId: 'pinged', spec: 'site', idle: { stopAfter: 3600 } })
    const pinged = new WebSocket(socketUrl('port/app/pinged', site), {
      headers: authorization(stack),
      perMessageDeflate: false,
    })
    let pings = 0
    pinged.on('ping', () => {
      pings += 1
    })
    await once(pinged, 'open')
    const opened = await lastUse(site)
    await eventually(async () => assert(pings > 3 && (await databaseNow()) - opened > 3 * sameMs))
    const still = await lastUse(site)
    assert(still - opened < sameMs, `used ${Math.round(still - opened)} ms later`)
    const from = await databaseNow()
    pinged.send('hello')
    await once(pinged, 'message')
    assert((await lastUse(site)) >= from - sameMs)
    pinged.terminate()
    await remove(stack, site.id)
  })

  it('a call of the API is use', async () => {
    await sql`update runtimes set last_used_at = now() - interval '1000 s' where id = ${alice.id}`
    const answer = await stack.call('POST', `/v1/runtimes/${alice.id}/touch`)
    assert.equal(answer.status, 200)
    const { lastUsedAt, expiresAt } = (await answer.json()) as { lastUsedAt: string; expiresAt: string }
    assert((await databaseNow()) - Date.parse(lastUsedAt) < 5000)
    assert.equal(Date.parse(expiresAt) - Date.parse(lastUsedAt), 3_600_000)
  })

  it('a view that is left open goes idle: warned of, paused, stopped, and woken by who connects', async () => {
    const bob = await ensure(stack, { userId: 'bob', idle: { pauseAfter: 10, stopAfter: 20 } })
    const open = await watch(bob)
    const closed = once(open.socket, 'close', { signal: AbortSignal.timeout(60_000) })
    // It repaints for as long as it is there.
    const repaint = setInterval(() => {
      open.capture().catch(() => {})
    }, 500)
    await closed.finally(() => clearInterval(repaint))
    await until(bob, 'stopped')
    assert.deepEqual((await eventsOf(bob)).slice(3), [
      ...['expiring idle', 'paused idle'],
      ...['expiring idle', 'stopping idle', 'stopped'],
    ])
    const again = await connectCdp(socketUrl('cdp', bob), authorization(stack))
    await again.send('Browser.getVersion')
    again.close()
    await until(bob, 'running')
    await remove(stack, bob.id)
  })

  it('one that has reached its age is deleted under whoever uses it, and its owner gets another with the same profile', async () => {
    const carol = await ensure(stack, { userId: 'carol', idle: { stopAfter: null }, maxAge: 10 })
    const busy = await connectCdp(socketUrl('cdp', carol), authorization(stack))
    const work = setInterval(() => {
      busy.send('Browser.getVersion').catch(() => {})
    }, 200)
    await busy.closed
    clearInterval(work)
    await until(carol, 'deleted')
    assert.deepEqual((await eventsOf(carol)).slice(-2), ['deleting max-age', 'deleted'])
    assert.equal((await fetch(carol.urls.rpc, { method: 'POST', headers: authorization(stack) })).status, 410)
    const profiles = async () => [...(await sql`select id from profiles where owner = 'carol'`)]
    const kept = await profiles()
    assert.equal(kept.length, 1)
    const another = await ensure(stack, { userId: 'carol' })
    assert.notEqual(another.id, carol.id)
    assert.deepEqual(await profiles(), kept)
    await remove(stack, another.id)
  })
})
