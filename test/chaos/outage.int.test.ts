import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { claimOwner, connect, type Database, putTenant, type RuntimeRow, startOn, toRunning } from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import { parseConfig } from '../../gateway/src/config.ts'
import { ownerHashOf } from '../../gateway/src/identity/owner.ts'
import { type Gateway, serve } from '../../gateway/src/server.ts'
import { mintToken, scopes } from '../../gateway/src/tokens/caller.ts'
import { createIssuer } from '../../gateway/src/tokens/issuer.ts'
import { createSeal } from '../../gateway/src/tokens/seal.ts'
import { type EmbeddedPostgres, startPostgres } from '../../infra/postgres/embedded.ts'
import { eventually } from '../kit/eventually.ts'
import { evidence } from '../kit/evidence.ts'
import { testLog } from '../kit/logs.ts'

const secret = evidence.remember('PORTHOLE_SECRET', 'a secret of the outage, long enough')
/** Milliseconds within which whoever needs the database is told that it is away. */
const quickly = 3000

describe('while the database is away', { concurrency: false }, () => {
  let dir: string
  let postgres: EmbeddedPostgres
  let database: Database
  let gateway: Gateway
  let upstream: http.Server
  let token: string
  let known: RuntimeRow
  let unknown: RuntimeRow

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'porthole-outage-'))
    postgres = await startPostgres({ dir })
    gateway = await serve(
      parseConfig({ DATABASE_URL: postgres.url, PORTHOLE_SECRET: secret, PORT: '0' }),
      testLog('gateway'),
    )
    database = connect(postgres.url)
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
    const issuer = await createIssuer(database.db, createSeal(secret), Date.now)
    token = evidence.remember(
      'bearer token',
      await mintToken(issuer, { tenant: 'default', subject: 'operator', scopes, jti: 'outage' }, 600),
    )
    // Echoes what a socket sends, as a browser would answer.
    upstream = http.createServer((_req, res) => res.end('ok'))
    upstream.on('upgrade', (_req, socket) => {
      socket.on('error', () => {})
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
      socket.pipe(socket)
    })
    upstream.listen(0, '127.0.0.1')
    await once(upstream, 'listening')
    const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
    await addHost(database.db, 'h1', 100, { url, memoryBytes: 1024 ** 4, cpuMillis: 1_000_000 })
    known = await running('alice')
    unknown = await running('bob')
  })
  after(async () => {
    await gateway.close()
    await database.close(1)
    await postgres.stop()
    upstream.closeAllConnections()
    upstream.close()
    rmSync(dir, { recursive: true, force: true })
  })

  const running = async (owner: string): Promise<RuntimeRow> => {
    const ownerHash = ownerHashOf('default', 'docker-per-principal', owner)
    const claimed = await claimOwner(database.db, wanted(owner, { ownerHash }), 600_000)
    const started = claimed && (await startOn(database.db, claimed.row, 'h1', 600_000))
    assert(typeof started === 'object')
    return (await toRunning(database.db, started)) ?? assert.fail()
  }
  const authorization = () => `Bearer ${token}`
  const call = async (path: string) => {
    const startedAt = performance.now()
    const answer = await fetch(`${gateway.url}${path}`, { headers: { authorization: authorization() } })
    return { status: answer.status, text: await answer.text(), ms: performance.now() - startedAt }
  }
  /** The status line of a new socket, and the socket. */
  const open = async (hash: string) => {
    const socket = net.connect(Number(new URL(gateway.url).port), '127.0.0.1')
    socket.on('error', () => {})
    socket.write(
      `GET /cdp/${hash} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: ${authorization()}\r\n\r\n`,
    )
    const [head] = await once(socket, 'data', { signal: AbortSignal.timeout(10_000) })
    return { socket, status: Number(String(head).split(' ')[1]) }
  }
  const echo = async (socket: net.Socket, text: string) => {
    const answer = once(socket, 'data', { signal: AbortSignal.timeout(5000) })
    socket.write(text)
    assert.equal(String((await answer)[0]), text)
  }

  it('open sockets flow, known routes open, everything else is a quick 503, and all is well afterwards', async t => {
    const stays = await open(known.ownerHash)
    assert.equal(stays.status, 101)
    await echo(stays.socket, 'before')

    process.kill(postgres.pid, 'SIGKILL')
    await postgres.ended
    await echo(stays.socket, 'during')
    const opened = await open(known.ownerHash)
    assert.equal(opened.status, 101)
    await echo(opened.socket, 'opened without a database')
    assert.equal((await call(`/rpc/${known.ownerHash}/run`)).status, 200)

    for (const path of [`/rpc/${unknown.ownerHash}/run`, '/v1/runtimes', `/v1/runtimes/${known.id}`, '/readyz']) {
      const answer = await call(path)
      t.diagnostic(`${path.split('/').slice(0, 3).join('/')}: ${Math.round(answer.ms)} ms`)
      assert.equal(answer.status, 503, path)
      assert(answer.ms < quickly, `${path} took ${answer.ms} ms`)
    }
    assert.equal((await call('/healthz')).status, 200)

    postgres = await startPostgres({ dir, port: postgres.port })
    await eventually(async () => assert.equal((await call('/readyz')).status, 200), 20_000)
    await eventually(async () => assert.equal((await call('/v1/runtimes')).status, 200), 20_000)
    assert.equal((await call(`/rpc/${unknown.ownerHash}/run`)).status, 200)
    await echo(stays.socket, 'after')
    await echo(opened.socket, 'after')

    // What a route table must not keep: the hints go on after the connection that brought them was lost.
    const cut = once(stays.socket, 'close', { signal: AbortSignal.timeout(5000) })
    // Nobody carries the command out here: what counts is that it is known.
    const asked = new AbortController()
    fetch(`${gateway.url}/v1/runtimes/${known.id}`, {
      method: 'DELETE',
      headers: { authorization: authorization() },
      signal: asked.signal,
    }).catch(() => {})
    await cut
    assert.equal((await open(known.ownerHash)).status, 503)
    asked.abort()
  })
})
