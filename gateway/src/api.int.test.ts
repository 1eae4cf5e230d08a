import assert from 'node:assert/strict'
import http from 'node:http'
import { after, before, describe, it } from 'node:test'
import { addTicket, claimOwner, connect, type Database, move, putTenant, type RuntimeRow } from '@porthole/db'
import { wanted } from '@porthole/db/testing'
import { base64url, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { rememberEnv } from '../../test/kit/credentials.ts'
import { freshDatabase } from '../../test/kit/database.ts'
import { evidence } from '../../test/kit/evidence.ts'
import { testLog } from '../../test/kit/logs.ts'
import { parseConfig } from './config.ts'
import { viewTicketKey } from './edge/tickets.ts'
import { ownerHashOf } from './identity/owner.ts'
import { type Gateway, serve } from './server.ts'
import { callerAudience, mintToken, type Scope, scopes } from './tokens/caller.ts'
import { createIssuer, type Issuer } from './tokens/issuer.ts'
import { randomToken } from './tokens/random.ts'
import { createSeal } from './tokens/seal.ts'

const secret = evidence.remember('PORTHOLE_SECRET', 'a secret of the tests, long enough')

type Answer = { status: number; headers: http.IncomingHttpHeaders; text: string }

describe('the public API', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  let issuer: Issuer
  let gateway: Gateway
  let alice: RuntimeRow
  let deleted: RuntimeRow

  const token = (
    { owner, ...more }: { tenant?: string; scopes?: readonly Scope[]; owner?: string; jti?: string } = {},
    seconds = 60,
  ) =>
    mintToken(
      issuer,
      {
        tenant: 'default',
        subject: 'test',
        scopes,
        jti: 'j',
        owner: owner === undefined ? undefined : { mode: 'docker-per-principal', name: owner },
        ...more,
      },
      seconds,
    )

  const ownersRow = async (owner: string) => {
    const ownerHash = ownerHashOf('default', 'docker-per-principal', owner)
    const claimed = await claimOwner(database.db, wanted(owner, { ownerHash }), 3_600_000)
    assert(claimed)
    return claimed.row
  }

  before(async () => {
    fresh = await freshDatabase()
    const config = parseConfig({ DATABASE_URL: fresh.url, PORTHOLE_SECRET: secret, PORT: '0' })
    gateway = await serve(config, testLog('gateway'))
    database = connect(fresh.url)
    for (const slug of ['default', 'acme']) await putTenant(database.db, { slug, mode: 'docker-per-principal' })
    issuer = await createIssuer(database.db, createSeal(secret), Date.now)
    alice = await ownersRow('alice')
    const gone = await move(database.db, await ownersRow('gone'), { to: 'deleting' })
    const end = gone && (await move(database.db, gone, { to: 'deleted' }))
    assert(end)
    deleted = end
  })
  after(async () => {
    await gateway.close()
    await database.close()
    await fresh.drop()
  })

  /** One request over a socket of its own, with the target exactly as given. */
  const send = (target: string, options: { method?: string; headers?: Record<string, string>; body?: string } = {}) =>
    new Promise<Answer>((resolve, reject) => {
      const { hostname, port } = new URL(gateway.url)
      const { method = 'GET', headers = {}, body } = options
      const req = http.request({ host: hostname, port, path: target, method, headers, agent: false })
      const answerWith = (res: http.IncomingMessage) => {
        const chunks: Buffer[] = []
        res.on('data', chunk => chunks.push(chunk))
        res.on('end', () =>
          resolve({ status: res.statusCode ?? 0, headers: res.headers, text: Buffer.concat(chunks).toString() }),
        )
      }
      req.on('response', answerWith)
      req.on('upgrade', (_res, socket) => {
        socket.destroy()
        reject(new Error('it was upgraded'))
      })
      req.on('error', reject)
      req.end(body)
    })

  const bearer = (jwt: string) => ({ authorization: `Bearer ${jwt}` })
  const post = (target: string, jwt: string, body: unknown, headers: Record<string, string> = {}) => {
    rememberEnv(body)
    return send(target, {
      method: 'POST',
      headers: { ...bearer(jwt), 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    })
  }
  const upgrade = (target: string, headers: Record<string, string> = {}) =>
    send(target, {
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        ...headers,
      },
    })
  const codeIn = ({ text }: Answer) => JSON.parse(text).code
  const sameButForId = ({ status, text }: Answer) => ({ status, ...JSON.parse(text), requestId: '' })

  /** Every route of the API description that wants a token, with ids filled in. */
  const protectedRoutes = async () => {
    const { paths } = JSON.parse((await send('/openapi.json')).text) as {
      paths: Record<string, Record<string, { security?: unknown }>>
    }
    return Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods)
        .filter(([, { security }]) => security)
        .map(([method]) => ({ method: method.toUpperCase(), target: path.replace('{id}', alice.id) })),
    )
  }
  const edge = () => [
    { method: 'GET', target: `/view/${alice.ownerHash}/vnc.html` },
    { method: 'GET', target: `/view/${alice.ownerHash}/core/rfb.js` },
    { method: 'POST', target: `/view/${alice.ownerHash}/session` },
    { method: 'GET', target: `/cdp/${alice.ownerHash}/json/version` },
    { method: 'GET', target: `/cdp/${alice.ownerHash}/json/list` },
    { method: 'POST', target: `/rpc/${alice.ownerHash}/run` },
    { method: 'GET', target: `/vnc.html` },
  ]
  const sockets = () => [
    `/view/${alice.ownerHash}/websockify`,
    `/cdp/${alice.ownerHash}`,
    `/cdp/${alice.ownerHash}/devtools/browser/x`,
    `/rpc/${alice.ownerHash}/socket`,
    '/websockify',
  ]

  describe('a caller who is nobody', () => {
    const forgeries: [string, () => Promise<Record<string, string>>][] = [
      ['without a token', async () => ({})],
      ['with a malformed token', async () => bearer('not.a.token')],
      ['with another scheme', async () => ({ authorization: `Basic ${await token()}` })],
      ['with an expired token', async () => bearer(await token({}, -1))],
      [
        'with a token for another audience',
        async () => bearer(await issuer.sign({ tenant: 'default' }, { audience: 'host_1', seconds: 60 })),
      ],
      ['with a token of a tenant that does not exist', async () => bearer(await token({ tenant: 'nobody' }))],
      [
        'with alg none',
        async () => {
          const encode = (value: object) => base64url.encode(JSON.stringify(value))
          const exp = Math.floor(Date.now() / 1000) + 60
          const claims = {
            iss: 'porthole',
            aud: callerAudience,
            tenant: 'default',
            scope: scopes.join(' '),
            exp,
            iat: exp,
          }
          return bearer(`${encode({ alg: 'none' })}.${encode(claims)}.`)
        },
      ],
      [
        'with a token signed by a key of their own',
        async () => {
          const { privateKey } = await generateKeyPair('Ed25519')
          const [{ kid = '' } = {}] = issuer.jwks().keys
          const jwt = new SignJWT({ tenant: 'default', scope: scopes.join(' ') })
            .setProtectedHeader({ alg: 'EdDSA', kid })
            .setIssuer('porthole')
            .setAudience(callerAudience)
            .setIssuedAt()
            .setExpirationTime('1m')
          return bearer(await jwt.sign(privateKey))
        },
      ],
      [
        'with our public key used as an HMAC secret',
        async () => {
          const [{ kid = '', x = '' } = {}] = issuer.jwks().keys
          const jwt = new SignJWT({ tenant: 'default', scope: scopes.join(' ') })
            .setProtectedHeader({ alg: 'HS256', kid })
            .setIssuer('porthole')
            .setAudience(callerAudience)
            .setIssuedAt()
            .setExpirationTime('1m')
          return bearer(await jwt.sign(base64url.decode(x)))
        },
      ],
      [
        'with a key of their own in the header',
        async () => {
          const { privateKey, publicKey } = await generateKeyPair('Ed25519', { extractable: true })
          const jwt = new SignJWT({ tenant: 'default', scope: scopes.join(' ') })
            .setProtectedHeader({ alg: 'EdDSA', jwk: await exportJWK(publicKey), kid: 'mine' })
            .setIssuer('porthole')
            .setAudience(callerAudience)
            .setIssuedAt()
            .setExpirationTime('1m')
          return bearer(await jwt.sign(privateKey))
        },
      ],
    ]
    for (const [who, headersOf] of forgeries)
      it(`${who} is refused on every route and every upgrade`, async () => {
        const headers = await headersOf()
        const routes = [...(await protectedRoutes()), ...edge()]
        assert(routes.length > 14, 'the API description has lost its routes')
        for (const { method, target } of routes) {
          const json: Record<string, string> = method === 'POST' ? { 'content-type': 'application/json' } : {}
          const body = method === 'POST' ? { body: '{}' } : {}
          const answer = await send(target, { method, headers: { ...headers, ...json }, ...body })
          assert.equal(answer.status, 401, `${method} ${target}`)
          assert.equal(codeIn(answer), 'unauthorized')
          assert.match(String(answer.headers['www-authenticate']), /^Bearer/)
        }
        for (const target of sockets()) {
          const answer = await upgrade(target, headers)
          assert.equal(answer.status, 401, target)
          assert.equal(answer.headers.connection, 'close')
        }
      })
  })

  it('a token without the scope is a 403 on every route and every upgrade', async () => {
    const headers = bearer(await token({ scopes: [] }))
    for (const { method, target } of [...(await protectedRoutes()), ...edge()]) {
      const json =
        method === 'POST' ? { headers: { ...headers, 'content-type': 'application/json' }, body: '{}' } : { headers }
      const answer = await send(target, { method, ...json })
      assert.equal(answer.status, 403, `${method} ${target}`)
      assert.equal(codeIn(answer), 'insufficient-scope')
    }
    for (const target of sockets()) assert.equal((await upgrade(target, headers)).status, 403, target)
  })

  it("another tenant's runtime answers exactly as one that does not exist", async () => {
    const theirs = await token({ tenant: 'acme' })
    const nothing = { id: alice.id.replace(/.{4}$/, '0000'), ownerHash: 'ffffffffffffffff' }
    const targets = (row: { id: string; ownerHash: string }) => [
      { method: 'GET', target: `/v1/runtimes/${row.id}` },
      { method: 'GET', target: `/v1/runtimes/${row.id}/wait?timeout=0` },
      { method: 'DELETE', target: `/v1/runtimes/${row.id}` },
      { method: 'POST', target: `/v1/runtimes/${row.id}/stop` },
      { method: 'POST', target: `/v1/runtimes/${row.id}/start` },
      { method: 'GET', target: `/view/${row.ownerHash}/vnc.html` },
      { method: 'GET', target: `/cdp/${row.ownerHash}/json/version` },
      { method: 'GET', target: `/rpc/${row.ownerHash}/run` },
    ]
    const [real, imagined] = [targets(alice), targets(nothing)]
    for (const [n, { method, target }] of real.entries()) {
      const a = await send(target, { method, headers: bearer(theirs) })
      const b = await send(imagined[n]?.target ?? '', { method, headers: bearer(theirs) })
      assert.equal(a.status, 404, target)
      assert.deepEqual(sameButForId(a), sameButForId(b))
    }
    for (const socket of ['view/HASH/websockify', 'cdp/HASH']) {
      const [a, b] = await Promise.all(
        [alice, nothing].map(row => upgrade(`/${socket.replace('HASH', row.ownerHash)}`, bearer(theirs))),
      )
      assert(a && b)
      assert.equal(a.status, 404)
      assert.deepEqual(sameButForId(a), sameButForId(b))
    }
    const ticket = await post(`/v1/runtimes/${alice.id}/tickets`, theirs, {})
    assert.equal(ticket.status, 404)
    const list = await send('/v1/runtimes', { headers: bearer(theirs) })
    assert.deepEqual(JSON.parse(list.text).items, [])
  })

  it("a token for one owner sees nothing of another owner's", async () => {
    const bobs = await token({ owner: 'bob' })
    assert.equal((await send(`/v1/runtimes/${alice.id}`, { headers: bearer(bobs) })).status, 404)
    assert.equal((await send(`/cdp/${alice.ownerHash}/json/version`, { headers: bearer(bobs) })).status, 404)
    assert.equal((await upgrade(`/cdp/${alice.ownerHash}`, bearer(bobs))).status, 404)
    assert.deepEqual(JSON.parse((await send('/v1/runtimes', { headers: bearer(bobs) })).text).items, [])
    const ensure = await post('/v1/runtimes', bobs, { userId: 'alice', wait: 0 })
    assert.equal(codeIn(ensure), 'wrong-owner')
    const own = await send(`/v1/runtimes/${alice.id}`, { headers: bearer(await token({ owner: 'alice' })) })
    assert.equal(own.status, 200)
  })

  it('a deleted runtime is gone for its own tenant', async () => {
    const headers = bearer(await token())
    for (const target of [
      `/v1/runtimes/${deleted.id}`,
      `/view/${deleted.ownerHash}/vnc.html`,
      `/cdp/${deleted.ownerHash}/json/version`,
    ])
      assert.equal((await send(target, { headers })).status, 410, target)
    assert.equal((await upgrade(`/cdp/${deleted.ownerHash}`, headers)).status, 410)
    assert.equal((await send(`/v1/runtimes/${deleted.id}`, { method: 'DELETE', headers })).status, 204)
    const waited = await send(`/v1/runtimes/${deleted.id}/wait?state=deleted`, { headers })
    assert.equal(JSON.parse(waited.text).state, 'deleted')
    assert.equal((await send(`/v1/runtimes/${deleted.id}/wait?state=running`, { headers })).status, 410)
  })

  it('a wait that is over is a 408', async () => {
    const answer = await send(`/v1/runtimes/${alice.id}/wait?state=paused&timeout=0.1`, {
      headers: bearer(await token()),
    })
    assert.deepEqual([answer.status, codeIn(answer)], [408, 'wait-timeout'])
  })

  describe('a body', () => {
    const faults: [string, unknown, string][] = [
      ['with an unknown field', { userId: 'a', colour: 'red' }, '#/colour'],
      ['with an unknown mode', { mode: 'docker-per-galaxy' }, '#/mode'],
      ['with a user id that is no string', { userId: 42 }, '#/userId'],
      ['with a session id that is a list', { sessionId: ['a'] }, '#/sessionId'],
      ['in task mode without a task id', { mode: 'docker-per-task', userId: 'a' }, '#/taskId'],
      ['with a control character in its owner', { userId: 'a\u0000b' }, '#/userId'],
      ['with a name that is no environment name', { env: { 'A B': 'x' } }, '#/env/A B'],
      ['with an environment that is too large', { env: { A: 'x'.repeat(65_536), B: 'y' } }, '#/env'],
      ['with a wait that is too long', { wait: 301 }, '#/wait'],
      ['that is no object', [], '#'],
    ]
    for (const [what, body, pointer] of faults)
      it(`${what} is a 400 that points at it`, async () => {
        const answer = await post('/v1/runtimes', await token(), body)
        assert.equal(answer.status, 400)
        assert.equal(answer.headers['content-type'], 'application/problem+json')
        const problem = JSON.parse(answer.text)
        assert.equal(problem.code, 'invalid-request')
        assert.equal(problem.requestId, answer.headers['x-request-id'])
        assert(
          problem.errors.some((fault: { pointer: string }) => fault.pointer === pointer),
          answer.text,
        )
      })

    it('that is not JSON is a 400, of another type a 415, too large a 413', async () => {
      const headers = bearer(await token())
      const json = { ...headers, 'content-type': 'application/json' }
      const answers = await Promise.all([
        send('/v1/runtimes', { method: 'POST', headers: json, body: '{"userId":' }),
        send('/v1/runtimes', { method: 'POST', headers, body: '{}' }),
        send('/v1/runtimes', { method: 'POST', headers: json, body: `{"userId":"${'x'.repeat(1024 ** 2)}"}` }),
      ])
      assert.deepEqual(
        answers.map(({ status }) => status),
        [400, 415, 413],
      )
    })

    it('naming a mode in capitals and spaces is understood, as the original did', async () => {
      const answer = await post('/v1/runtimes', await token(), { mode: ' Docker-Per-Task ', taskId: 'alice', wait: 0 })
      const { mode, ownerHash } = JSON.parse(answer.text)
      assert.deepEqual([answer.status, mode], [202, 'docker-per-task'])
      assert.notEqual(ownerHash, alice.ownerHash)
    })

    it('naming a spec there is not is a 404', async () => {
      assert.equal(codeIn(await post('/v1/runtimes', await token(), { spec: 'nothing' })), 'spec-not-found')
    })
  })

  it('an environment is kept sealed, and comes back in no answer', async () => {
    const answer = await post('/v1/runtimes', await token(), {
      userId: 'sealed',
      env: { OPENAI_API_KEY: 'sk-secret' },
      wait: 0,
    })
    assert.equal(answer.status, 202)
    assert(!answer.text.includes('sk-secret') && !answer.text.includes('sealedEnv'))
    const rows = await database.db.query.runtimes.findMany()
    assert(!JSON.stringify(rows).includes('sk-secret'))
  })

  it('a request sent again with its Idempotency-Key gets the same answer, and another request a 422', async () => {
    const jwt = await token()
    const key = { 'idempotency-key': 'k-1' }
    const first = await post('/v1/runtimes', jwt, { userId: 'idem', wait: 0 }, key)
    const again = await post('/v1/runtimes', jwt, { userId: 'idem', wait: 0 }, key)
    assert.equal(first.status, 202)
    assert.deepEqual([again.status, again.text], [first.status, first.text])
    assert.equal(again.headers['idempotency-replayed'], 'true')
    assert.equal(codeIn(await post('/v1/runtimes', jwt, { userId: 'else', wait: 0 }, key)), 'idempotency-mismatch')
    const other = await post('/v1/runtimes', await token({ tenant: 'acme' }), { userId: 'idem', wait: 0 }, key)
    assert.equal(other.headers['idempotency-replayed'], undefined)
  })

  it('the Idempotency-Key of a create that was cut off is free again soon after its wait', async () => {
    const jwt = await token()
    const again = () => post('/v1/runtimes', jwt, { userId: 'cut', wait: 0 }, { 'idempotency-key': 'k-cut' })
    assert.equal((await again()).status, 202)
    const cutOff = (secondsAgo: number) =>
      database.db.execute(
        `update idempotency_keys set status = null, body = null, created_at = now() - interval '${secondsAgo} s'`,
      )
    await cutOff(20)
    assert.equal(codeIn(await again()), 'idempotency-at-work')
    await cutOff(40)
    const answer = await again()
    // Done anew: what comes of it depends on what has become of the first one meanwhile.
    assert.notEqual(codeIn(answer), 'idempotency-at-work')
    assert.equal(answer.headers['idempotency-replayed'], undefined)
  })

  it('pages lead through a list without gaps', async () => {
    const jwt = await token()
    for (const userId of ['p1', 'p2', 'p3'])
      await post('/v1/runtimes', jwt, { userId, labels: { list: 'yes' }, wait: 0 })
    const owners: string[] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query = `limit=2&label=list%3Dyes${cursor ? `&cursor=${cursor}` : ''}`
      const page = JSON.parse((await send(`/v1/runtimes?${query}`, { headers: bearer(jwt) })).text)
      owners.push(...page.items.map(({ owner }: { owner: string }) => owner))
      cursor = page.nextCursor
    }
    assert.deepEqual(owners, ['p3', 'p2', 'p1'])
    assert.equal((await send('/v1/runtimes?colour=red', { headers: bearer(jwt) })).status, 400)
  })

  it("a token for one owner is not shown an answer kept under another's Idempotency-Key", async () => {
    const key = { 'idempotency-key': 'k-2' }
    const body = { userId: 'victim', wait: 0 }
    assert.equal((await post('/v1/runtimes', await token(), body, key)).status, 202)
    const mallory = await post('/v1/runtimes', await token({ owner: 'mallory' }), body, key)
    assert.deepEqual([mallory.status, codeIn(mallory)], [403, 'wrong-owner'])
  })

  it('a token for a principal is not good for a task or a shared runtime of the same name', async () => {
    const bobs = await token({ owner: 'default' })
    for (const body of [{ mode: 'docker-per-task', taskId: 'default' }, { mode: 'shared' }]) {
      const made = JSON.parse((await post('/v1/runtimes', await token(), { ...body, wait: 0 })).text)
      assert.equal((await send(`/v1/runtimes/${made.id}`, { headers: bearer(bobs) })).status, 404)
      assert.equal((await send(`/cdp/${made.ownerHash}/json/version`, { headers: bearer(bobs) })).status, 404)
      assert.equal(codeIn(await post('/v1/runtimes', bobs, { ...body, wait: 0 })), 'wrong-owner')
    }
    assert.deepEqual(JSON.parse((await send('/v1/runtimes', { headers: bearer(bobs) })).text).items, [])
  })

  it('a stranger is refused before the body is read, whatever is in it', async () => {
    const headers = { 'content-type': 'application/json' }
    const spaces = `{"mode":"a${' '.repeat(900_000)}b"}`
    const keys = `{${Array.from({ length: 50_000 }, (_, n) => `"k${n}":1`).join()}}`
    for (const body of [spaces, keys, 'not json']) {
      const startedAt = performance.now()
      const answer = await send('/v1/runtimes', { method: 'POST', headers, body })
      assert.equal(answer.status, 401)
      assert(performance.now() - startedAt < 2000)
    }
    const jwt = await token()
    const answer = await send('/v1/runtimes', { method: 'POST', headers: { ...headers, ...bearer(jwt) }, body: keys })
    assert.equal(answer.status, 400)
    assert(answer.text.length < 10_000, `${answer.text.length} characters of faults`)
  })

  describe('idle rules', () => {
    const read = async (id: string) =>
      JSON.parse((await send(`/v1/runtimes/${id}`, { headers: bearer(await token()) })).text)
    const secondsTo = (expiresAt: string | null, from: string) =>
      expiresAt === null ? null : Math.round((Date.parse(expiresAt) - Date.parse(from)) / 1000)
    /** One that runs, made by a request with those rules. */
    const running = async (userId: string, body: object = {}) => {
      const made = await post('/v1/runtimes', await token(), { userId, wait: 0, ...body })
      assert.equal(made.status, 202, made.text)
      const { id } = JSON.parse(made.text)
      await database.db.execute(
        `update runtimes set state = 'running', generation = 1, work_until = null, error = null where id = '${id}'`,
      )
      return id as string
    }

    it('of the spec hold where a request has none: a browser expires 900 s after its last use', async () => {
      const { expiresAt, lastUsedAt } = await read(await running('idle-1'))
      assert.equal(secondsTo(expiresAt, lastUsedAt), 900)
    })

    it('of a request hold before those of the spec, and tell when the runtime expires', async () => {
      const paused = await read(await running('idle-2', { idle: { pauseAfter: 60 } }))
      assert.equal(secondsTo(paused.expiresAt, paused.lastUsedAt), 60)
      assert.equal((await read(await running('idle-3', { idle: { stopAfter: null } }))).expiresAt, null)
      const aged = await read(await running('idle-4', { idle: { stopAfter: 0 }, maxAge: 7200 }))
      assert.equal(secondsTo(aged.expiresAt, aged.createdAt), 7200)
    })

    it('of a later request hold for the runtime that is there, if it names any', async () => {
      let id = ''
      const ask = async (more: object) => {
        const { status, text } = await post('/v1/runtimes', await token(), { userId: 'idle-8', wait: 0, ...more })
        // By the second time it may have found that there is no host to run on.
        assert(status === 202 || (status === 503 && id !== ''), text)
        id ||= JSON.parse(text).id
        const { expiresAt, createdAt } = await read(id)
        return secondsTo(expiresAt, createdAt)
      }
      assert.equal(await ask({ maxAge: 7200 }), 7200)
      assert.equal(await ask({}), 7200)
      assert.equal(await ask({ maxAge: 3600 }), 3600)
      assert.equal(await ask({ idle: {} }), null)
    })

    it('that do not fit are a 400 that points at them', async () => {
      for (const [body, pointer] of [
        [{ idle: { pauseAfter: 1000 } }, '#/idle/pauseAfter'],
        [{ idle: { stopAfter: 3 } }, '#/idle/stopAfter'],
        [{ maxAge: -1 }, '#/maxAge'],
      ] as const) {
        const { status, text } = await post('/v1/runtimes', await token(), { userId: 'idle-5', wait: 0, ...body })
        assert.equal(status, 400)
        assert.equal(JSON.parse(text).errors[0].pointer, pointer)
      }
    })

    it('a call that does something counts as use, and one that looks does not', async () => {
      const id = await running('idle-6')
      const lastUsedAt = async () => (await read(id)).lastUsedAt as string
      const makeOld = () =>
        database.db.execute(`update runtimes set last_used_at = now() - interval '500 s' where id = '${id}'`)
      await makeOld()
      const before = await lastUsedAt()
      await send(`/v1/runtimes/${id}/wait?timeout=0`, { headers: bearer(await token()) })
      assert.equal(await lastUsedAt(), before)
      for (const [path, body] of [
        ['touch', undefined],
        ['tickets', {}],
        ['resume', undefined],
      ] as const) {
        await makeOld()
        const { status } = await post(`/v1/runtimes/${id}/${path}`, await token(), body)
        assert(status < 300, `${path}: ${status}`)
        assert(Date.now() - Date.parse(await lastUsedAt()) < 60_000, path)
      }
    })

    it('touch answers with the runtime, wakes nothing, and is 410 for one that was deleted', async () => {
      const id = await running('idle-7')
      await database.db.execute(`update runtimes set state = 'stopped' where id = '${id}'`)
      const touched = await post(`/v1/runtimes/${id}/touch`, await token(), undefined)
      assert.deepEqual([touched.status, JSON.parse(touched.text).state], [200, 'stopped'])
      const gone = await post(`/v1/runtimes/${deleted.id}/touch`, await token(), undefined)
      assert.deepEqual([gone.status, codeIn(gone)], [410, 'gone'])
    })
  })

  it('text that no database can hold is a 400', async () => {
    const jwt = await token()
    for (const query of ['owner=%00', 'spec=%00', 'cursor=%00', 'label=a%3D%00'])
      assert.equal((await send(`/v1/runtimes?${query}`, { headers: bearer(jwt) })).status, 400, query)
    for (const body of [{ labels: { a: '\0' } }, { env: { A: '\0' } }, { spec: '\0' }, { labels: { a: '\ud800' } }])
      assert.equal((await post('/v1/runtimes', jwt, body)).status, 400, JSON.stringify(body))
  })

  describe("a person's link", () => {
    it('is not used up by somebody who only looks', async () => {
      const target = await link()
      assert.equal((await send(target, { method: 'HEAD' })).status, 401)
      assert.equal((await send(target)).status, 302)
    })

    const page = { accept: 'text/html,*/*' }
    const link = async () => {
      const answer = await post(`/v1/runtimes/${alice.id}/tickets`, await token(), { access: 'control' })
      assert.equal(answer.status, 201)
      const { url, expiresAt } = JSON.parse(answer.text)
      assert(new Date(expiresAt).getTime() - Date.now() <= 60_500)
      return url.slice(gateway.url.length) as string
    }
    const cookieFrom = ({ headers }: Answer) => String(headers['set-cookie']?.[0]).split(';', 1)[0] ?? ''

    it('is exchanged for a cookie of that path alone, and the ticket leaves the address', async () => {
      const answer = await send(await link(), { headers: page })
      assert.equal(answer.status, 302)
      const { location } = answer.headers
      assert.equal(location, `/view/${alice.ownerHash}/vnc.html?path=view/${alice.ownerHash}/websockify`)
      const cookie = String(answer.headers['set-cookie']?.[0])
      assert.match(cookie, /^porthole_view=[^;]+/)
      for (const part of ['HttpOnly', 'SameSite=Lax', `Path=/view/${alice.ownerHash}`])
        assert(cookie.includes(part), part)
      const opened = await send(location ?? '', { headers: { ...page, cookie: cookieFrom(answer) } })
      assert.equal(opened.status, 200)
      assert.match(opened.text, /noVNC_container/)
      const module = await send(`/view/${alice.ownerHash}/core/rfb.js`, { headers: { cookie: cookieFrom(answer) } })
      assert.match(String(module.headers['content-type']), /javascript/)
    })

    it('works once', async () => {
      const target = await link()
      const both = await Promise.all([send(target), send(target)])
      assert.deepEqual(both.map(({ status }) => status).toSorted(), [302, 401])
    })

    it('that was used shows a person a page, with 401', async () => {
      const target = await link()
      await send(target)
      const answer = await send(target, { headers: page })
      assert.equal(answer.status, 401)
      assert.match(String(answer.headers['content-type']), /text\/html/)
    })

    it("gives a cookie that opens neither another owner's view nor any other door", async () => {
      const cookie = cookieFrom(await send(await link()))
      const other = await ownersRow('bob')
      assert.equal((await send(`/view/${other.ownerHash}/vnc.html`, { headers: { cookie } })).status, 401)
      assert.equal((await send(`/cdp/${alice.ownerHash}/json/version`, { headers: { cookie } })).status, 401)
      assert.equal((await send('/v1/runtimes', { headers: { cookie } })).status, 401)
      assert.equal((await upgrade(`/cdp/${alice.ownerHash}`, { cookie, origin: gateway.url })).status, 401)
    })

    it('opens a socket for pages of our own origin only', async () => {
      const cookie = cookieFrom(await send(await link()))
      const target = `/view/${alice.ownerHash}/websockify`
      for (const origin of ['https://evil.example', 'null', `${gateway.url}.evil.example`])
        assert.equal((await upgrade(target, { cookie, origin })).status, 403, origin)
      assert.equal((await upgrade(target, { cookie })).status, 403)
      assert.equal((await upgrade(target, { ...bearer(await token()), origin: 'https://evil.example' })).status, 403)
    })

    it('with a token in its fragment trades it for the cookie', async () => {
      const target = `/view/${alice.ownerHash}/session`
      const answer = await send(target, { method: 'POST', headers: bearer(await token({ owner: 'alice' })) })
      assert.equal(answer.status, 204)
      const opened = await send(`/view/${alice.ownerHash}/vnc.html`, { headers: { cookie: cookieFrom(answer) } })
      assert.equal(opened.status, 200)
      const strangers = await send(target, { method: 'POST', headers: bearer(await token({ owner: 'bob' })) })
      assert.equal(strangers.status, 404)
    })

    it('a view without a cookie shows a person how to get in, with 401', async () => {
      const answer = await send(`/view/${alice.ownerHash}/vnc.html`, { headers: page })
      assert.equal(answer.status, 401)
      assert.match(String(answer.headers['content-type']), /text\/html/)
      assert(!answer.text.includes('__BASE__') && !answer.text.includes('__REASON__'))
    })
  })

  describe('paths made to confuse', () => {
    for (const target of [
      '/view/HASH/../../v1/runtimes',
      '/view/HASH/%2e%2e/x',
      '/view/HASH//core/rfb.js',
      '/rpc/HASH/a%2fb',
      '/rpc/HASH/x/../../y',
    ])
      it(`${target} leads nowhere`, async () => {
        const { status } = await send(target.replace('HASH', alice.ownerHash), { headers: bearer(await token()) })
        assert([400, 404].includes(status), String(status))
      })
    it('a file that is not of the view is a 404', async () => {
      for (const name of ['package.json', 'state.test.ts', 'nothing.js'])
        assert.equal((await send(`/view/${alice.ownerHash}/${name}`, { headers: bearer(await token()) })).status, 404)
    })
  })

  it('describes itself, with every schema it parses by', async () => {
    const description = JSON.parse((await send('/openapi.json')).text)
    assert.equal(description.openapi, '3.1.0')
    const ensure = description.components.schemas.EnsureRuntime
    assert.equal(ensure.additionalProperties, false)
    assert.deepEqual(Object.keys(ensure.properties).toSorted(), [
      'env',
      'idle',
      'labels',
      'maxAge',
      'mode',
      'placement',
      'profile',
      'resources',
      'sessionId',
      'spec',
      'taskId',
      'threadId',
      'userId',
      'wait',
    ])
    for (const path of ['/docs/', '/docs/ui/swagger-ui-bundle.js', '/console/', '/assets/signin.js'])
      assert.equal((await send(path)).status, 200, path)
  })

  it('is alive, ready, and publishes its keys', async () => {
    assert.equal((await send('/healthz')).status, 200)
    assert.equal((await send('/readyz')).status, 200)
    const { keys } = JSON.parse((await send('/.well-known/jwks.json')).text)
    assert.deepEqual(Object.keys(keys[0]).toSorted(), ['alg', 'crv', 'kid', 'kty', 'use', 'x'])
  })

  it('a secret that is not the one of the database ends the start with a sentence', async () => {
    const config = parseConfig({ DATABASE_URL: fresh.url, PORTHOLE_SECRET: 'x'.repeat(40), PORT: '0' })
    await assert.rejects(serve(config, testLog('gateway')), /another PORTHOLE_SECRET/)
  })

  it('a ticket is of use with the very runtime only', async () => {
    const { id: runtimeId, tenant } = alice
    const token = randomToken('tk')
    await addTicket(
      database.db,
      viewTicketKey(token),
      {
        tenant,
        runtimeId,
        ownerHash: alice.ownerHash,
        access: 'view',
        subject: '',
        tokenId: null,
        issuerId: null,
        goodUntil: new Date(Date.now() + 60_000),
      },
      60,
    )
    const other = await ownersRow('carol')
    assert.equal((await send(`/view/${other.ownerHash}/vnc.html?ticket=${token}`)).status, 401)
    assert.equal((await send(`/view/${alice.ownerHash}/vnc.html?ticket=${token}`)).status, 302)
  })
})
