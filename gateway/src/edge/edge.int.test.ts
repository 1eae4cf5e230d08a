import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net, { type Socket } from 'node:net'
import { after, afterEach, before, beforeEach, describe, it, type TestContext } from 'node:test'
import {
  claimOwner,
  connect,
  type Database,
  putTenant,
  type RuntimeRow,
  startOn,
  toRunning,
  toStopping,
} from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import { hopHeader } from '@porthole/protocol'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { freshDatabase } from '../../../test/kit/database.ts'
import { eventually } from '../../../test/kit/eventually.ts'
import { evidence } from '../../../test/kit/evidence.ts'
import { testLog } from '../../../test/kit/logs.ts'
import { parseConfig } from '../config.ts'
import { ownerHashOf } from '../identity/owner.ts'
import { type Gateway, serve } from '../server.ts'
import { mintToken, scopes } from '../tokens/caller.ts'
import { createIssuer } from '../tokens/issuer.ts'
import { createSeal } from '../tokens/seal.ts'
import { createUpstream, type Seen } from './testing.ts'
import { signViewPass } from './tickets.ts'

const secret = evidence.remember('PORTHOLE_SECRET', 'a secret of the tests, long enough')

describe('the edge of the gateway', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  let gateway: Gateway
  let upstream: Awaited<ReturnType<typeof createUpstream>>
  let alice: RuntimeRow
  let token: string

  before(async () => {
    fresh = await freshDatabase()
    upstream = await createUpstream()
    gateway = await serve(
      parseConfig({
        DATABASE_URL: fresh.url,
        PORTHOLE_SECRET: secret,
        PORT: '0',
        PUBLIC_URL: 'https://b.example.com/base',
      }),
      testLog('gateway'),
    )
    database = connect(fresh.url)
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
    const issuer = await createIssuer(database.db, createSeal(secret), Date.now)
    token = await mintToken(issuer, { tenant: 'default', subject: 't', scopes, jti: 'j' }, 60)
    // Nobody beats for it, however long these tests take.
    await addHost(database.db, 'h1', 10, { url: upstream.url, lastSeenAt: new Date(Date.now() + 3_600_000) })
    const ownerHash = ownerHashOf('default', 'docker-per-principal', 'alice')
    const claimed = await claimOwner(database.db, wanted('alice', { ownerHash }), 60_000)
    const started = claimed && (await startOn(database.db, claimed.row, 'h1', 60_000))
    assert(typeof started === 'object')
    const running = await toRunning(database.db, started)
    assert(running)
    alice = running
  })
  after(async () => {
    await gateway.close()
    await database.close()
    upstream.server.closeAllConnections()
    upstream.server.close()
    await fresh.drop()
  })

  const lastSeen = (): Seen => {
    const last = upstream.seen.at(-1)
    assert(last, 'the host was not asked')
    return last
  }

  it("gives the host a hop token for this runtime and generation, and keeps the caller's credentials", async () => {
    upstream.answer.body = '{"results":[]}'
    const answer = await fetch(`${gateway.url}/rpc/${alice.ownerHash}/run?x=1`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        cookie: 'porthole_view=secret; other=1',
        'content-type': 'application/json',
        'x-porthole-key': 'forged',
        'x-porthole-access': 'control',
        [hopHeader]: 'forged',
        'x-forwarded-for': '6.6.6.6',
        forwarded: 'for=6.6.6.6',
      },
      body: '{"actions":[]}',
    })
    assert.equal(await answer.text(), '{"results":[]}')
    const { url, headers, body } = lastSeen()
    assert.equal(url, `/edge/${alice.id}/1/rpc/run?x=1`)
    assert.equal(body, '{"actions":[]}')
    for (const name of ['authorization', 'cookie', 'x-porthole-key', 'x-porthole-access', 'forwarded'])
      assert.equal(headers[name], undefined, name)
    assert.equal(headers['x-forwarded-for'], '127.0.0.1')
    assert.equal(headers['x-forwarded-proto'], 'https')
    const jwks = createRemoteJWKSet(new URL(`${gateway.url}/.well-known/jwks.json`))
    const { payload } = await jwtVerify(String(headers[hopHeader]), jwks, { audience: 'h1' })
    assert.deepEqual(
      [payload.use, payload.sub, payload.gen, payload.access, Number(payload.exp) - Number(payload.iat)],
      ['hop', alice.id, 1, 'control', 60],
    )
  })

  it('gives nothing that a container serves the origin of the gateway', async () => {
    upstream.answer.headers = {
      'content-type': 'text/html',
      'set-cookie': ['porthole_view=planted; Path=/', 'a=b'],
      'clear-site-data': '"*"',
      'content-security-policy': 'default-src *',
      'access-control-allow-origin': '*',
      'service-worker-allowed': '/',
    }
    upstream.answer.body = '<script>alert(1)</script>'
    const answer = await fetch(`${gateway.url}/rpc/${alice.ownerHash}/page`, {
      headers: { authorization: `Bearer ${token}` },
    })
    assert.match(String(answer.headers.get('content-security-policy')), /^sandbox/)
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff')
    for (const name of ['set-cookie', 'clear-site-data', 'access-control-allow-origin', 'service-worker-allowed'])
      assert.equal(answer.headers.get(name), null, name)
    upstream.answer.headers = {}
  })

  it('makes discovery answers public, with and without the slash that Playwright adds', async () => {
    upstream.answer.body = '{"Browser":"Chrome/1","webSocketDebuggerUrl":"ws://172.18.0.2:9222/devtools/browser/b-1"}'
    for (const path of ['json/version', 'json/version/']) {
      const answer = await fetch(`${gateway.url}/cdp/${alice.ownerHash}/${path}`, {
        headers: { authorization: `Bearer ${token}` },
      })
      assert.deepEqual(await answer.json(), {
        Browser: 'Chrome/1',
        webSocketDebuggerUrl: `wss://b.example.com/base/cdp/${alice.ownerHash}/devtools/browser/b-1`,
      })
      assert.equal(lastSeen().url, `/edge/${alice.id}/1/cdp/json/version`)
    }
  })

  describe('discovery that hangs', () => {
    const answered = () => upstream.script.request
    let before: ReturnType<typeof answered>
    beforeEach(() => {
      before = answered()
    })
    afterEach(() => {
      upstream.script.request = before
    })

    const headers = () => ({ authorization: `Bearer ${token}` })
    /** A question that has come to the host and gets no answer; `ended`: the host has seen its end. */
    const hang = async (ownerHash: string) => {
      const [asked, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      upstream.script.request = res => {
        res.on('close', ended.resolve)
        asked.resolve()
      }
      const leave = new AbortController()
      const answer = fetch(`${gateway.url}/cdp/${ownerHash}/json/list`, { headers: headers(), signal: leave.signal })
      await Promise.race([asked.promise, answer.then(({ status }) => assert.fail(`answered ${status}`))])
      return { leave, answer, ended: ended.promise }
    }
    const openTo = async ({ id }: RuntimeRow) => {
      const answer = await fetch(`${gateway.url}/v1/runtimes/${id}/connections`, { headers: headers() })
      const { items } = (await answer.json()) as { items: { door: string; kind: string }[] }
      return items.map(({ door, kind }) => `${door} ${kind}`)
    }

    it('is among what is open to the runtime, and ends with its client', async () => {
      const { leave, answer, ended } = await hang(alice.ownerHash)
      assert.deepEqual(await openTo(alice), ['cdp request'])
      const from = performance.now()
      leave.abort()
      await assert.rejects(answer)
      await ended
      // Long before its own deadline, which would end it too.
      assert(performance.now() - from < 7000)
      await eventually(async () => assert.deepEqual(await openTo(alice), []))
    })

    it('ends with its runtime', async () => {
      const ownerHash = ownerHashOf('default', 'docker-per-principal', 'bob')
      const claimed = await claimOwner(database.db, wanted('bob', { ownerHash }), 60_000)
      const started = claimed && (await startOn(database.db, claimed.row, 'h1', 60_000))
      assert(typeof started === 'object')
      const bob = await toRunning(database.db, started)
      assert(bob)
      const { answer, ended } = await hang(ownerHash)
      const from = performance.now()
      assert(await toStopping(database.db, bob, 60_000, 'test'))
      const { status } = await answer
      assert.equal(status, 503)
      await ended
      assert(performance.now() - from < 7000)
    })
  })

  /** Sends an upgrade over a raw socket, with `after` in the same packet. @returns everything until the end. */
  const upgrade = async (target: string, after = '', bearer = token) => {
    const { port } = new URL(gateway.url)
    const socket = net.connect(Number(port), '127.0.0.1')
    socket.write(
      `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer ${bearer}\r\n\r\n${after}`,
    )
    const chunks: Buffer[] = []
    for await (const chunk of socket) chunks.push(chunk)
    return Buffer.concat(chunks).toString()
  }

  it('splices a socket to the runtime, with the bytes that came early on either side', async () => {
    upstream.script.upgrade = socket => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello ')
      socket.once('data', data => socket.end(`back ${data}`))
    }
    const text = await upgrade(`/cdp/${alice.ownerHash}/devtools/page/1`, 'early')
    assert.match(text, /^HTTP\/1\.1 101 /)
    assert(text.endsWith('hello back early'), text)
    const { url, headers } = lastSeen()
    assert.equal(url, `/edge/${alice.id}/1/cdp/devtools/page/1`)
    assert.equal(headers.authorization, undefined)
    await upgrade(`/cdp/${alice.ownerHash}`, 'x')
    assert.equal(lastSeen().url, `/edge/${alice.id}/1/cdp/`)
    await upgrade(`/view/${alice.ownerHash}/websockify`, 'x')
    assert.equal(lastSeen().url, `/edge/${alice.id}/1/view/websockify`)
  })

  it('passes on an upgrade that is refused, and nothing that comes behind it', async () => {
    upstream.script.upgrade = socket =>
      socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno')
    const before = upstream.seen.length
    const text = await upgrade(`/cdp/${alice.ownerHash}`, 'GET /rpc/secret HTTP/1.1\r\nHost: x\r\n\r\n')
    assert.match(text, /^HTTP\/1\.1 401 /)
    assert(text.endsWith('no'))
    assert.equal(upstream.seen.length, before + 1)
  })

  it('what is in the audit of a socket is what came of it, as soon as it is known', async () => {
    /** Of the last upgrades, the last first. */
    const told = async (count: number, subject: string) => {
      const answer = await fetch(`${gateway.url}/v1/audit?subject=${subject}`, {
        headers: { authorization: `Bearer ${token}` },
      })
      const { items } = (await answer.json()) as { items: { action: string; status: number; code: string | null }[] }
      const found = items.filter(({ action }) => action === 'open cdp socket')
      assert.equal(found.length, count)
      return found.map(({ status, code }) => [status, code])
    }
    const issuer = await createIssuer(database.db, createSeal(secret), Date.now)
    const subject = 'audited'
    const caller = { tenant: 'default', subject, scopes: ['runtimes:connect'], jti: 'audited' }
    const bearer = await mintToken(issuer, caller, 60)
    const path = `/cdp/${alice.ownerHash}`

    upstream.script.upgrade = socket => socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
    await upgrade(path, '', bearer)
    await eventually(async () => assert.deepEqual(await told(1, subject), [[403, null]]))

    upstream.script.upgrade = socket => socket.destroy()
    await upgrade(path, '', bearer)
    const broken = [502, 'upstream-failed']
    await eventually(async () => assert.deepEqual(await told(2, subject), [broken, [403, null]]))

    const open = Promise.withResolvers<Socket>()
    upstream.script.upgrade = socket => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
      open.resolve(socket)
    }
    const over = upgrade(path, '', bearer)
    const socket = await open.promise
    await eventually(async () => assert.deepEqual(await told(3, subject), [[101, null], broken, [403, null]]))
    socket.destroy()
    await over
  })

  /** Signs, checks of signatures, and writes to Postgres, while `work` is under way in this process. */
  const costOf = async (t: TestContext, work: () => Promise<void>) => {
    const cost = { signed: 0, checked: 0, asked: 0 }
    const databasePort = Number(new URL(fresh.url).port || 5432)
    const { sign, verify } = crypto.subtle
    const { write } = net.Socket.prototype
    const mocks = [
      t.mock.method(crypto.subtle, 'sign', (...args: Parameters<typeof sign>) => {
        cost.signed++
        return sign.apply(crypto.subtle, args)
      }),
      t.mock.method(crypto.subtle, 'verify', (...args: Parameters<typeof verify>) => {
        cost.checked++
        return verify.apply(crypto.subtle, args)
      }),
      t.mock.method(net.Socket.prototype, 'write', function (this: net.Socket, ...args: Parameters<typeof write>) {
        if (this.remotePort === databasePort) cost.asked++
        return write.apply(this, args)
      }),
    ]
    const startedAt = performance.now()
    await work()
    for (const { mock } of mocks) mock.restore()
    return { ...cost, seconds: (performance.now() - startedAt) / 1000 }
  }
  /** What a gateway asks in a second when nobody asks it: looks at revocations, routes, hosts, places in line. */
  const looksPerSecond = 40

  const cookie = async (of: Awaited<ReturnType<typeof createIssuer>>) => {
    const pass = { tenant: 'default', ownerHash: ownerHashOf('default', 'docker-per-principal', 'alice') }
    return `porthole_view=${await signViewPass(of, { ...pass, access: 'control', subject: 's', tokenId: 'j', issuerId: undefined }, 60)}`
  }

  for (const [what, path, credentials] of [
    ['a token', 'rpc/HASH/run', async () => ({ authorization: `Bearer ${token}` })],
    [
      'a cookie',
      'view/HASH/core/rfb.js',
      async () => ({ cookie: await cookie(await createIssuer(database.db, createSeal(secret), Date.now)) }),
    ],
  ] as const)
    it(`a thousand requests with ${what} for a known route cost no signature, and no query of their own`, async t => {
      const headers = await credentials()
      const agent = new http.Agent({ keepAlive: true, maxSockets: 8 })
      t.after(() => agent.destroy())
      const ask = async () => {
        const asked = http.get(`${gateway.url}/${path.replace('HASH', alice.ownerHash)}`, { agent, headers })
        const [answer]: http.IncomingMessage[] = await once(asked, 'response')
        assert.equal(answer?.statusCode, 200)
        answer?.resume()
        await once(answer ?? assert.fail(), 'end')
      }
      await ask()
      const cost = await costOf(t, async () => {
        const worker = async () => {
          for (let n = 0; n < 125; n++) await ask()
        }
        await Promise.all(Array.from({ length: 8 }, worker))
      })
      // A hop token may have become too old for use meanwhile.
      assert(cost.signed <= 1, `${cost.signed} signatures`)
      assert(cost.checked <= 1, `${cost.checked} signatures were checked`)
      assert(cost.asked < looksPerSecond * (cost.seconds + 1), `${cost.asked} queries in ${cost.seconds} s`)
    })

  it('a hundred sockets of a known route cost no signature, and no query of their own', async t => {
    upstream.script.upgrade = socket =>
      socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello')
    const cost = await costOf(t, async () => {
      for (let n = 0; n < 100; n++) assert.match(await upgrade(`/cdp/${alice.ownerHash}`, 'x'), /hello$/)
    })
    assert(cost.signed <= 1, `${cost.signed} signatures`)
    assert(cost.checked <= 1, `${cost.checked} signatures were checked`)
    // Each has its line in the audit, which is written four times a second.
    assert(cost.asked < looksPerSecond * (cost.seconds + 1), `${cost.asked} queries in ${cost.seconds} s`)
  })

  /** A gateway looks at the hosts it knows once a second. */
  const hostSeenMs = 4000
  const askUntil = async (status: number) => {
    const headers = { authorization: `Bearer ${token}` }
    const answer = await fetch(`${gateway.url}/rpc/${alice.ownerHash}/run`, { headers })
    assert.equal(answer.status, status)
    return answer
  }

  it('says 503 and when to try again while the host is silent', async () => {
    await database.db.execute(`update hosts set last_seen_at = now() - interval '1 minute' where id = 'h1'`)
    const answer = await eventually(() => askUntil(503), hostSeenMs)
    assert.equal(answer.headers.get('retry-after'), '5')
    assert.match(await upgrade(`/cdp/${alice.ownerHash}`), /^HTTP\/1\.1 503 /)
    await database.db.execute(`update hosts set last_seen_at = now() + interval '1 hour' where id = 'h1'`)
  })

  it('says 502 when nobody answers at the host', async () => {
    await database.db.execute(`update hosts set url = 'http://127.0.0.1:1' where id = 'h1'`)
    const answer = await eventually(() => askUntil(502), hostSeenMs)
    assert.equal(((await answer.json()) as { code: string }).code, 'upstream-failed')
    assert.match(await upgrade(`/cdp/${alice.ownerHash}`), /^HTTP\/1\.1 502 /)
  })
})
