import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import { inheritedEnv } from '../../test/kit/config.ts'
import { freshDatabase } from '../../test/kit/database.ts'
import { evidence } from '../../test/kit/evidence.ts'
import { framingCases, smuggledPath } from './hostile/framing.ts'
import { crookedTargets } from './hostile/paths.ts'
import { head, isWhole, statusesIn, talk, upgradeHeaders } from './hostile/wire.ts'
import { type HostileWorld, startHostileWorld } from './hostile/world.ts'

/** Seconds, as the gateway under test is told. */
const headTimeout = 2
const bodyTimeout = 2
/** Seconds for which what is left of a body is read after its answer. */
const leftover = 5
/** Milliseconds that a busy machine may add to a deadline, the second between two looks for late heads included. */
const slack = 4000
/** Milliseconds between two bytes of a slow client. */
const drip = 100
const megabyte = 1024 * 1024

describe('requests made to hurt', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let world: HostileWorld
  let auth: string
  let rpc: string

  before(async () => {
    fresh = await freshDatabase()
    world = await startHostileWorld({
      databaseUrl: fresh.url,
      secret: evidence.remember('PORTHOLE_SECRET', 'a secret of the tests, long enough'),
      env: inheritedEnv(),
      settings: { PORTHOLE_HEAD_TIMEOUT: String(headTimeout), PORTHOLE_BODY_TIMEOUT: String(bodyTimeout) },
      logFile: evidence.logFile('gateway'),
    })
    auth = `Authorization: Bearer ${evidence.remember('bearer token', world.token)}`
    rpc = `/rpc/${world.alice.ownerHash}/run`
  })
  after(async () => {
    await world?.close()
    await fresh.drop()
  })
  beforeEach(() => {
    world.upstream.seen.length = 0
    assert(world.isAlive(), 'the gateway has ended')
  })

  const seenBodies = () => world.upstream.seen.map(({ body }) => body)
  const post = (path: string, body: string, more: readonly string[] = []) =>
    head(`POST ${path} HTTP/1.1`, [
      auth,
      'Content-Type: application/json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Connection: close',
      ...more,
    ]) + body
  const codeIn = (text: string) => /"code":"([\w-]+)"/.exec(text)?.[1]

  describe('messages that two programs read differently', () => {
    for (const { name, bytes, statuses, seen } of framingCases)
      it(name, async () => {
        const { text } = await talk(world.port, bytes(rpc, auth))
        assert.deepEqual(statusesIn(text), statuses, text)
        if (seen) assert.deepEqual(seenBodies(), seen)
        assert(world.upstream.seen.length <= 1)
        for (const { url, headers } of world.upstream.seen) {
          assert.equal(url, `/edge/${world.alice.id}/1/rpc/run`)
          assert.notEqual(url, smuggledPath)
          assert.equal(headers['x-porthole-key'], undefined)
        }
      })
  })

  describe('paths that two programs read differently', () => {
    it('are a 400 for requests, and no container hears of them', async () => {
      for (const target of crookedTargets(world.alice.ownerHash, 'f'.repeat(16))) {
        const { text } = await talk(world.port, head(`GET ${target} HTTP/1.1`, [auth, 'Connection: close']))
        assert.deepEqual(statusesIn(text), [400], `${target}: ${text}`)
        assert.doesNotMatch(text, /\r\nX-Injected/i)
      }
      assert.deepEqual(world.upstream.seen, [])
    })

    it('are a 400 for upgrades', async () => {
      for (const target of crookedTargets(world.alice.ownerHash, 'f'.repeat(16))) {
        const { text } = await talk(world.port, head(`GET ${target} HTTP/1.1`, [auth, ...upgradeHeaders]))
        assert.deepEqual(statusesIn(text), [400], `${target}: ${text}`)
      }
      assert.deepEqual(world.upstream.seen, [])
    })

    it('a space in the target is a 400, and CONNECT and TRACE lead nowhere', async () => {
      for (const line of [`GET ${rpc} x HTTP/1.1`, `GET\t${rpc} HTTP/1.1`, `GET ${rpc} HTTP/9.9`]) {
        const { text } = await talk(world.port, head(line, [auth, 'Connection: close']))
        assert.deepEqual(statusesIn(text), [400], `${line}: ${text}`)
      }
      const tunnel = await talk(world.port, head('CONNECT 127.0.0.1:22 HTTP/1.1', [auth]))
      assert.equal(tunnel.text, '')
      const echo = await talk(world.port, head(`TRACE ${rpc} HTTP/1.1`, [auth, 'Connection: close']))
      assert.deepEqual(statusesIn(echo.text), [405], echo.text)
      assert.deepEqual(world.upstream.seen, [])
    })

    it('one that is plain, escapes and query included, arrives as it was sent', async () => {
      const path = `/rpc/${world.alice.ownerHash}/a%20b/%C3%A9/..a/b..?q=%2e%2e/../%00//x`
      const { text } = await talk(world.port, head(`GET ${path} HTTP/1.1`, [auth, 'Connection: close']))
      assert.deepEqual(statusesIn(text), [200], text)
      assert.deepEqual(
        world.upstream.seen.map(({ url }) => url),
        [`/edge/${world.alice.id}/1/rpc/a%20b/%C3%A9/..a/b..?q=%2e%2e/../%00//x`],
      )
    })
  })

  describe('headers', () => {
    it('of more than 16 KiB are a 431, in whichever part', async () => {
      const long = 'a'.repeat(20_000)
      for (const bytes of [
        head(`GET ${rpc}?${long} HTTP/1.1`, [auth]),
        head(`GET ${rpc} HTTP/1.1`, [auth, `X-A: ${long}`]),
        head(`GET ${rpc} HTTP/1.1`, [auth, `${long}: 1`]),
        head(`GET ${rpc} HTTP/1.1`, [auth, ...Array.from({ length: 300 }, (_, n) => `X-${n}: ${'a'.repeat(60)}`)]),
        head(`GET ${rpc} HTTP/1.1`, [auth, ...upgradeHeaders, `X-A: ${long}`]),
      ])
        assert.deepEqual(statusesIn((await talk(world.port, bytes)).text), [431])
      assert.deepEqual(world.upstream.seen, [])
    })

    it('are all read, however many there are within that', async () => {
      const many = Array.from({ length: 2100 }, () => 'a:b')
      const { text } = await talk(world.port, head('GET /v1/runtimes HTTP/1.1', [...many, auth, 'Connection: close']))
      assert.deepEqual(statusesIn(text), [200], text)
    })

    it('that name our own in Connection take away none of ours', async () => {
      const hidden = 'Connection: close, X-Porthole-Hop, X-Forwarded-For, Host, Authorization'
      const { text } = await talk(world.port, head(`GET ${rpc} HTTP/1.1`, [auth, hidden]))
      assert.deepEqual(statusesIn(text), [200], text)
      const { headers } = world.upstream.seen[0] ?? {}
      assert.equal(headers?.['x-forwarded-for'], '127.0.0.1')
      assert.equal(headers?.host, 'gateway.example')
      assert.match(String(headers?.['x-porthole-hop']), /^ey/)
    })

    it('nothing that is echoed can begin a line of its own', async () => {
      const broken = '%0d%0aX-Injected:%201%0d%0a%0d%0a'
      for (const line of [
        `GET /view/${world.alice.ownerHash}/vnc.html?path=${broken}&ticket=${broken}`,
        `GET /vnc.html?path=${broken}`,
        `GET /console?${broken}`,
        `GET /v1/runtimes?label=${broken}`,
        `GET /v1/runtimes?cursor=${broken}`,
        `GET /v1/runtimes/rt_?${broken}`,
        `GET /v1/runtimes/${broken}`,
        `GET /nowhere?${broken}`,
      ]) {
        const more = [auth, `X-Request-Id: ${broken}`, `Idempotency-Key: ${broken}`, 'Connection: close']
        const { text } = await talk(world.port, head(`${line} HTTP/1.1`, more))
        assert.equal(statusesIn(text).length, 1, line)
        assert.doesNotMatch(text, /^X-Injected/im, line)
      }
      world.upstream.answer.headers = { location: `/a${broken}`, 'content-location': `//elsewhere.example/${broken}` }
      const { text } = await talk(world.port, head(`GET ${rpc} HTTP/1.1`, [auth, 'Connection: close']))
      world.upstream.answer.headers = {}
      assert.doesNotMatch(text, /^X-Injected/im)
      assert.match(text, new RegExp(`^location: /rpc/${world.alice.ownerHash}/a%0d%0aX-Injected`, 'im'))
    })
  })

  describe('slow clients', () => {
    /** Sends a byte every `drip` milliseconds for as long as the connection stands. */
    const dripping = (byte: string) => (socket: { write(text: string): void }) => {
      const timer = setInterval(() => socket.write(byte), drip)
      return () => clearInterval(timer)
    }
    const inTime = (ms: number, seconds: number) => assert(ms < seconds * 1000 + slack, `it took ${Math.round(ms)} ms`)

    it('a head that comes byte by byte is a 408 when its time is over', async () => {
      const { text, ms } = await talk(world.port, 'GET /healthz HTTP/1.1\r\nX-A: ', { meanwhile: dripping('a') })
      assert.deepEqual(statusesIn(text), [408], text)
      inTime(ms, headTimeout)
    })

    it('so is one that never comes', async () => {
      const { text, ms } = await talk(world.port, '')
      assert.deepEqual(statusesIn(text), [408], text)
      inTime(ms, headTimeout)
    })

    for (const [framing, byte] of [
      ['Content-Length: 1000', ' '],
      ['Transfer-Encoding: chunked', '1\r\n \r\n'],
    ] as const) {
      it(`a body that comes byte by byte is a 408 when its time is over, by ${framing}`, async () => {
        const bytes = head('POST /v1/runtimes HTTP/1.1', [auth, 'Content-Type: application/json', framing])
        const { text, ms } = await talk(world.port, bytes, { meanwhile: dripping(byte) })
        assert.deepEqual(statusesIn(text), [408], text)
        inTime(ms, bodyTimeout)
      })

      it(`a stranger is refused before the body, and loses the connection, by ${framing}`, async () => {
        for (const path of ['/v1/runtimes', `/rpc/${world.alice.ownerHash}/run`, '/session']) {
          const bytes = head(`POST ${path} HTTP/1.1`, ['Content-Type: application/json', framing])
          const { text, ms } = await talk(world.port, bytes, { meanwhile: dripping(byte) })
          assert.deepEqual(statusesIn(text), [401], text)
          inTime(ms, leftover)
        }
      })

      it(`a body where none belongs holds nothing open, by ${framing}`, async () => {
        const { text, ms } = await talk(world.port, head('GET /healthz HTTP/1.1', [framing]), {
          meanwhile: dripping(byte),
        })
        assert.deepEqual(statusesIn(text), [200], text)
        inTime(ms, leftover)
      })
    }

    it('an upload that keeps moving may take longer than any of that', async () => {
      const bytes = head(`POST ${rpc} HTTP/1.1`, [auth, 'Content-Length: 50', 'Connection: close'])
      const { text, ms } = await talk(world.port, bytes, { meanwhile: dripping('a') })
      assert.deepEqual(statusesIn(text), [200], text)
      assert(ms > bodyTimeout * 1000)
      assert.deepEqual(seenBodies(), ['a'.repeat(50)])
    })
  })

  describe('bodies', () => {
    it('of more than 1 MiB are a 413 by the length they say, before they come', async () => {
      const bytes = head('POST /v1/runtimes HTTP/1.1', [auth, `Content-Length: ${megabyte + 1}`])
      const { text } = await talk(world.port, bytes)
      assert.deepEqual(statusesIn(text), [413], text)
      assert.equal(codeIn(text), 'too-large')
    })

    it('of more than 1 MiB are a 413 as they come, where they do not say', async () => {
      const more = [auth, 'Content-Type: application/json', 'Transfer-Encoding: chunked']
      const chunk = `10000\r\n${' '.repeat(65_536)}\r\n`
      const { text } = await talk(world.port, head('POST /v1/runtimes HTTP/1.1', more) + chunk.repeat(20))
      assert.deepEqual(statusesIn(text), [413], text)
      assert.equal(codeIn(text), 'too-large')
    })

    it('of no more than that are read, in chunks too', async () => {
      const body = JSON.stringify({ nonsense: 'a'.repeat(megabyte - 100) })
      const chunks = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
      const more = [auth, 'Content-Type: application/json', 'Transfer-Encoding: chunked', 'Connection: close']
      for (const bytes of [post('/v1/runtimes', body), head('POST /v1/runtimes HTTP/1.1', more) + chunks]) {
        const { text } = await talk(world.port, bytes)
        assert.deepEqual(statusesIn(text), [400], text)
        assert.match(text, /#\/nonsense/)
      }
    })

    it('of 100,000 nested arrays or objects are a 400, at once and in every place', async () => {
      const deep = [`${'['.repeat(100_000)}${']'.repeat(100_000)}`, `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`]
      const ticket = `/v1/runtimes/${world.alice.id}/tickets`
      for (const nest of deep)
        for (const [path, body] of [
          ['/v1/runtimes', nest],
          ['/v1/runtimes', `{"labels":${nest}}`],
          ['/v1/runtimes', `{"env":{"A":${nest}}}`],
          ['/v1/runtimes', `{"userId":"deep","unknown":${nest}}`],
          ['/v1/tokens', `{"scopes":${nest}}`],
          ['/v1/tenants', `{"slug":${nest}}`],
          ['/v1/hosts/join', nest],
          ['/v1/hosts/join', `{"publicKey":${nest}}`],
          [ticket, `{"access":${nest}}`],
        ] as const) {
          const { text, ms } = await talk(world.port, post(path, body))
          assert.deepEqual(statusesIn(text), [400], `${path} ${body.slice(0, 40)}: ${text}`)
          assert(ms < slack, `${path} took ${ms} ms`)
          assert(text.length < 10_000)
        }
    })

    it('that are half, or nothing, or no JSON, are a 400', async () => {
      for (const body of ['', '{', 'null', '"', '[]', '1e999', '\0', '{"userId":"\\ud800"}', '{"a":1}{"b":2}']) {
        const { text } = await talk(world.port, post('/v1/runtimes', body))
        assert.deepEqual(statusesIn(text), [400], `${JSON.stringify(body)}: ${text}`)
      }
    })
  })

  describe('names that objects have of their own', () => {
    const answerTo = async (bytes: string) => {
      const { text } = await talk(world.port, bytes)
      const body = text.slice(text.indexOf('\r\n\r\n') + 4)
      return { status: statusesIn(text)[0], body: JSON.parse(body) }
    }

    it('are unknown fields of a body', async () => {
      for (const name of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty'])
        for (const body of [
          `{"userId":"x","${name}":{"polluted":1}}`,
          `{"userId":"x","resources":{"${name}":{"polluted":1}}}`,
          `{"userId":"x","placement":{"${name}":1}}`,
        ]) {
          const { status, body: problem } = await answerTo(post('/v1/runtimes', body))
          assert.equal(status, 400, `${body}: ${JSON.stringify(problem)}`)
          assert.match(problem.errors[0].pointer, new RegExp(`/${name}$`))
        }
    })

    it('are a 400 or plain text as labels, variables, specs and filters', async () => {
      const named = `{"__proto__":"a","constructor":"b","prototype":"c","toString":"d"}`
      const made = await answerTo(post('/v1/runtimes', `{"userId":"proto","wait":0,"labels":${named},"env":${named}}`))
      assert([202, 400].includes(made.status ?? 0), JSON.stringify(made))
      if (made.status === 202) {
        const { constructor: ours, prototype, toString: text } = made.body.labels
        assert.deepEqual({ ours, prototype, text }, { ours: 'b', prototype: 'c', text: 'd' })
      }
      for (const name of ['__proto__', 'constructor', 'toString']) {
        const spec = await answerTo(post('/v1/runtimes', `{"userId":"proto","spec":"${name}"}`))
        assert.equal(spec.status, 404, JSON.stringify(spec))
        for (const query of [
          `${name}=1`,
          `${name}[polluted]=1`,
          `${name}.polluted=1`,
          `state=${name}`,
          `label=${name}=1`,
        ]) {
          const list = await answerTo(head(`GET /v1/runtimes?${query} HTTP/1.1`, [auth, 'Connection: close']))
          assert([200, 400].includes(list.status ?? 0), `${query}: ${JSON.stringify(list)}`)
        }
      }
    })

    it('leave nothing behind: what is asked afterwards is answered as before', async () => {
      const { status, body } = await answerTo(
        head(`GET /v1/runtimes/${world.alice.id} HTTP/1.1`, [auth, 'Connection: close']),
      )
      assert.equal(status, 200)
      assert.deepEqual(body.labels, {})
      assert.doesNotMatch(JSON.stringify(body), /pollut/)
      const odd = await answerTo(post('/v1/runtimes', '{"polluted":1}'))
      assert.equal(odd.body.errors[0].pointer, '#/polluted')
    })
  })

  describe('a host that was taken over', () => {
    for (const code of ['constructor', '__proto__', 'toString', 'not-found\t', 'x'.repeat(4000)])
      it(`cannot hurt with the error code ${code.slice(0, 20)}`, async () => {
        world.upstream.answer.headers = { 'x-porthole-problem': code }
        world.upstream.answer.status = 500
        world.upstream.script.upgrade = socket =>
          socket.end(`HTTP/1.1 500 No\r\nX-Porthole-Problem: ${code}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`)
        const asked = await talk(world.port, head(`GET ${rpc} HTTP/1.1`, [auth, 'Connection: close']))
        const discovery = `/cdp/${world.alice.ownerHash}/json/version`
        const found = await talk(world.port, head(`GET ${discovery} HTTP/1.1`, [auth, 'Connection: close']))
        const opened = await talk(world.port, head(`GET ${rpc} HTTP/1.1`, [auth, ...upgradeHeaders]))
        world.upstream.answer.headers = {}
        world.upstream.answer.status = 200
        for (const { text } of [asked, found, opened]) assert.deepEqual(statusesIn(text), [503], text)
      })

    for (const line of [
      'HTTP/1.1 000 A',
      'HTTP/1.1 099 A',
      'HTTP/1.1 999 A',
      'HTTP/1.1 101 A\r\nUpgrade: x',
      'HTTP/9.1 200 A',
      '',
    ])
      it(`cannot hurt with ${JSON.stringify(line)} in answer to an upgrade`, async () => {
        world.upstream.script.upgrade = socket => socket.end(`${line}\r\nConnection: close\r\n\r\n`)
        const { text } = await talk(world.port, head(`GET ${rpc} HTTP/1.1`, [auth, ...upgradeHeaders]))
        assert.match(text, /^HTTP\/1\.1 (502|999|101) /)
      })

    it('cannot hurt with a DevTools list of 100,000 nested arrays', async () => {
      world.upstream.answer.body = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
      const path = `/cdp/${world.alice.ownerHash}/json/list`
      const { text } = await talk(world.port, head(`GET ${path} HTTP/1.1`, [auth, 'Connection: close']))
      world.upstream.answer.body = 'ok'
      assert.deepEqual(statusesIn(text), [502], text)
      assert.match(text, /more than 32 levels/)
    })
  })

  it('an upgrade behind a request that is not answered yet ends the connection', async () => {
    const wait = head(`GET /v1/runtimes/${world.alice.id}/wait?state=deleted&timeout=10 HTTP/1.1`, [auth])
    const { text, ms } = await talk(world.port, wait + head(`GET ${rpc} HTTP/1.1`, [auth, ...upgradeHeaders]))
    assert.equal(text, '')
    assert(ms < slack)
    assert.deepEqual(world.upstream.seen, [])
  })

  it('and after all that an ordinary request is answered', async () => {
    const { text } = await talk(world.port, head('GET /healthz HTTP/1.1'), { until: isWhole })
    assert.deepEqual(statusesIn(text), [200])
  })
})
