import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { after, before, describe, it } from 'node:test'
import {
  claimOwner,
  connect,
  type Database,
  putTenant,
  type RuntimeRow,
  settle,
  startOn,
  toDeleted,
  toDeleting,
  toFailedAndFree,
  toPaused,
  toRunning,
} from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
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
import { signViewPass } from './tickets.ts'

const secret = evidence.remember('PORTHOLE_SECRET', 'a secret of the tests, long enough')

/** Runtimes whose host is there, and carries out nothing. */
describe('traffic for a runtime that does not run', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  let gateway: Gateway
  let token: string
  let issuer: Awaited<ReturnType<typeof createIssuer>>
  const commands: string[] = []
  const host = http.createServer(req => {
    commands.push(`${req.method} ${req.url?.split('/').slice(4).join('/')}`)
    req.resume()
  })

  before(async () => {
    fresh = await freshDatabase()
    host.listen(0, '127.0.0.1')
    await once(host, 'listening')
    gateway = await serve(
      parseConfig({
        ...{ DATABASE_URL: fresh.url, PORTHOLE_SECRET: secret, PORT: '0' },
        BROWSER_RUNTIME_START_TIMEOUT: '1',
      }),
      testLog('gateway'),
    )
    database = connect(fresh.url)
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
    issuer = await createIssuer(database.db, createSeal(secret), Date.now)
    token = await mintToken(issuer, { tenant: 'default', subject: 't', scopes, jti: 'j' }, 60)
    const address = host.address()
    assert(address && typeof address === 'object')
    await addHost(database.db, 'h1', 10, {
      url: `http://127.0.0.1:${address.port}`,
      lastSeenAt: new Date(Date.now() + 3_600_000),
    })
  })
  after(async () => {
    host.closeAllConnections()
    host.close()
    await gateway?.close()
    await database?.close()
    await fresh?.drop()
  })

  const started = async (owner: string): Promise<RuntimeRow> => {
    const ownerHash = ownerHashOf('default', 'docker-per-principal', owner)
    const claimed = await claimOwner(database.db, wanted(owner, { ownerHash }), 60_000)
    const started = claimed && (await startOn(database.db, claimed.row, 'h1', 60_000))
    assert(typeof started === 'object')
    return started
  }
  const there = (row: RuntimeRow | undefined): RuntimeRow => {
    assert(row)
    return row
  }
  const ask = async (path: string, headers: Record<string, string> = {}, method = 'GET') => {
    const answer = await fetch(`${gateway.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...headers },
      signal: AbortSignal.timeout(10_000),
    })
    const text = await answer.text()
    const { code } = answer.status >= 400 ? (JSON.parse(text) as { code: string }) : { code: '' }
    return { status: answer.status, code, headers: answer.headers }
  }
  const key = { 'sec-websocket-key': 'x', 'sec-websocket-version': '13' }
  const upgrade = async (path: string) => {
    const headers = { authorization: `Bearer ${token}`, connection: 'Upgrade', upgrade: 'websocket' }
    const signal = AbortSignal.timeout(10_000)
    const request = http.get(`${gateway.url}${path}`, { headers: { ...headers, ...key }, agent: false, signal })
    const [answer] = (await once(request, 'response')) as [http.IncomingMessage]
    const { code } = JSON.parse((await answer.setEncoding('utf8').toArray()).join('')) as { code: string }
    return { status: answer.statusCode, code, headers: new Headers(answer.headers as Record<string, string>) }
  }

  it('is held while it resumes, and told when that took too long', async () => {
    const row = there(await toRunning(database.db, await started('icy')))
    assert(await settle(database.db, there(await toPaused(database.db, row, 60_000, 'asked'))))
    const from = performance.now()
    const answers = await Promise.all([
      upgrade(`/view/${row.ownerHash}/websockify`),
      upgrade(`/cdp/${row.ownerHash}`),
      ask(`/cdp/${row.ownerHash}/json/version`),
      ask(`/rpc/${row.ownerHash}/health`),
    ])
    const ms = performance.now() - from
    assert(ms > 900 && ms < 8000, `answered after ${ms} ms`)
    for (const { status, code, headers } of answers) {
      assert.deepEqual([status, code], [503, 'host-unreachable'])
      assert(Number(headers.get('retry-after')) > 0)
    }
    assert(
      commands.some(command => command === 'POST resume'),
      'nobody asked the host',
    )
  })

  it('does not start what has failed: a page that is left open would do so for ever', async () => {
    const row = await started('broken')
    there(await toFailedAndFree(database.db, row, { code: 'start-timeout', detail: 'too late' }))
    for (const answer of [
      await upgrade(`/view/${row.ownerHash}/websockify`),
      await ask(`/rpc/${row.ownerHash}/health`),
    ])
      assert.deepEqual([answer.status, answer.code], [503, 'not-running'])
  })

  it('a page of the view is told how it is, and why', async () => {
    const row = await started('told')
    there(await toFailedAndFree(database.db, row, { code: 'start-timeout', detail: 'too late' }))
    const { status, headers } = await ask(`/view/${row.ownerHash}/vnc.html`)
    assert.equal(status, 200)
    assert.deepEqual([headers.get('x-porthole-state'), headers.get('x-porthole-error')], ['failed', 'start-timeout'])
  })

  it('a person whose link leads to what was deleted gets a page that says so', async () => {
    const row = await started('deleted')
    const deleting = there(await toDeleting(database.db, row, false, 60_000))
    there(await toDeleted(database.db, deleting))
    const headers = { authorization: `Bearer ${token}`, accept: 'text/html' }
    const answer = await fetch(`${gateway.url}/view/${row.ownerHash}/vnc.html`, { headers })
    assert.equal(answer.status, 410)
    assert.match(await answer.text(), /data-reason="gone"/)
    assert.deepEqual((await ask(`/view/${row.ownerHash}/vnc.html`)).code, 'gone')
  })

  it('who may only watch starts nothing, and nor does a page of another site', async () => {
    const row = await started('watched')
    there(await toFailedAndFree(database.db, row, { code: 'start-timeout', detail: 'too late' }))
    const pass = { tenant: 'default', ownerHash: ownerHashOf('default', 'docker-per-principal', 'watched') }
    const cookie = async (access: 'view' | 'control') =>
      `porthole_view=${await signViewPass(issuer, { ...pass, access, subject: 't', tokenId: undefined, issuerId: undefined }, 60)}`
    const start = async (access: 'view' | 'control', origin: string) => {
      const path = `${gateway.url}/view/${row.ownerHash}/start`
      const answer = await fetch(path, { method: 'POST', headers: { cookie: await cookie(access), origin } })
      return [answer.status, ((await answer.json()) as { code: string }).code]
    }
    assert.deepEqual(await start('view', gateway.url), [403, 'insufficient-scope'])
    assert.deepEqual(await start('control', 'https://evil.example'), [403, 'wrong-origin'])
    // Tried, on a host that carries out nothing.
    assert.deepEqual((await start('control', gateway.url))[0], 503)
  })

  describe('whose wait nobody wants any more', () => {
    let patient: Gateway
    before(async () => {
      const settings = { DATABASE_URL: fresh.url, PORTHOLE_SECRET: secret, PORT: '0' }
      patient = await serve(parseConfig({ ...settings, BROWSER_RUNTIME_START_TIMEOUT: '120' }), testLog('patient'))
    })
    after(() => patient?.close())

    const paused = async (owner: string) => {
      const row = there(await toRunning(database.db, await started(owner)))
      const frozen = there(await toPaused(database.db, row, 60_000, 'asked'))
      assert(await settle(database.db, frozen))
      return frozen
    }
    const openTo = async (row: RuntimeRow) => {
      const headers = { authorization: `Bearer ${token}` }
      const answer = await fetch(`${patient.url}/v1/runtimes/${row.id}/connections`, { headers })
      return ((await answer.json()) as { items: unknown[] }).items.length
    }

    for (const path of ['rpc/HASH/health', 'cdp/HASH/json/version'])
      it(`${path.slice(0, 3)}: a client that leaves is waited for no longer`, async () => {
        const row = await paused(`left-${path.slice(0, 3)}`)
        const leave = new AbortController()
        const answer = fetch(`${patient.url}/${path.replace('HASH', row.ownerHash)}`, {
          headers: { authorization: `Bearer ${token}` },
          signal: leave.signal,
        })
        await eventually(async () => assert.equal(await openTo(row), 1))
        leave.abort()
        await assert.rejects(answer)
        await eventually(async () => assert.equal(await openTo(row), 0), 10_000)
      })

    it('a client whose token ends is told so', async () => {
      const row = await paused('ended')
      const caller = { tenant: 'default', subject: 't', scopes, jti: 'short' }
      const short = await mintToken(issuer, caller, 3)
      const signal = AbortSignal.timeout(30_000)
      const authorization = `Bearer ${short}`
      const request = http.get(`${patient.url}/cdp/${row.ownerHash}`, {
        headers: { authorization, connection: 'Upgrade', upgrade: 'websocket', ...key },
        ...{ agent: false, signal },
      })
      const [rpc, [socket]] = await Promise.all([
        fetch(`${patient.url}/rpc/${row.ownerHash}/health`, { headers: { authorization }, signal }),
        once(request, 'response') as Promise<[http.IncomingMessage]>,
      ])
      socket.resume()
      assert.deepEqual([rpc.status, socket.statusCode], [503, 503])
    })
  })
})
