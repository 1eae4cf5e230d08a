import assert from 'node:assert/strict'
import type http from 'node:http'
import { it } from 'node:test'
import type { RuntimeRow } from '@porthole/db'
import type { RelayTarget } from '@porthole/protocol/relay'
import { type Asked, createExpress } from './express.ts'

const ownerHash = '0123456789abcdef'
const caller = {
  tenant: 't0',
  subject: 'ann',
  scopes: new Set(['runtimes:connect']),
  owner: undefined as { mode: 'docker-per-principal'; name: string } | undefined,
  tokenId: 'tok',
  issuerId: undefined,
  expiresAt: 2_000_000_000,
}
const runtime = {
  id: 'rt_1',
  generation: 3,
  ownerHash,
  tenant: 't0',
  mode: 'docker-per-principal',
  owner: 'ann',
  state: 'running',
  hostId: 'h1',
  workUntil: null,
} as Partial<RuntimeRow> as RuntimeRow
const plain = { url: `/rpc/${ownerHash}/run?x=1`, headers: { host: 'gw', authorization: 'Bearer good' } }

/** A house that knows all that it takes, but for what a test takes out of it. */
const lane = (without: Parameters<typeof house>[0] = {}) => {
  const { parts, relayed, open, touched } = house(without)
  const express = createExpress(
    parts,
    {
      http: async (_req, _res, target) => {
        relayed.push(target)
        return { status: 200, bytesIn: 0, bytesOut: 2 }
      },
    },
    () => 'req_1',
  )
  const ask = ({ url = plain.url, method = 'POST', headers = plain.headers, rawHeaders = ['Host', 'gw'] } = {}) =>
    express(
      {
        method,
        url,
        headers,
        rawHeaders,
        httpVersion: '1.1',
        socket: { remoteAddress: '10.0.0.9' },
      } as Partial<http.IncomingMessage> as http.IncomingMessage,
      {} as http.ServerResponse,
    )
  return { ask, relayed, open, touched }
}

function house(without: {
  caller?: undefined | typeof caller
  runtime?: undefined | RuntimeRow
  live?: boolean
  hop?: undefined
  room?: boolean
  portHost?: boolean
}) {
  const given = {
    caller,
    runtime,
    live: true,
    hop: 'hop' as string | undefined,
    room: true,
    portHost: false,
    ...without,
  }
  const relayed: RelayTarget[] = []
  const open = { count: 0, generation: 0 }
  const touched: string[] = []
  const parts: Asked = {
    base: 'https://gw.example',
    publicHost: 'gw.example',
    doorman: { known: () => given.caller },
    hops: { known: () => given.hop },
    log: { info: () => {} },
    portHosts: { read: () => (given.portHost ? 'nobody' : undefined) },
    routes: {
      knownRuntime: () => given.runtime,
      knownHost: () => ({ id: 'h1', url: 'http://h1:1', certificate: null, live: given.live }) as never,
      touch: id => touched.push(id),
    },
    sockets: {
      enter: () => {
        if (!given.room) throw new Error('full')
        open.count += 1
        return {
          leadsTo: (generation: number) => {
            open.generation = generation
          },
          leave: () => {
            open.count -= 1
          },
        }
      },
    },
  }
  return { parts, relayed, open, touched }
}

it('a request of which all is known is passed on at once, and counted while it lasts', async () => {
  const { ask, relayed, open } = lane()
  assert.equal(ask(), true)
  const [target] = relayed
  assert.equal(target?.origin, 'http://h1:1')
  assert.match(target?.path ?? '', /rt_1.*3.*\/rpc\/run\?x=1$/)
  assert(target?.drop?.('authorization'))
  assert.deepEqual(open, { count: 1, generation: 3 })
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(open.count, 0)
})

it('what passes counts as use, and to ask whether a runtime is well does not', () => {
  const { ask, relayed, touched } = lane()
  const health = `/rpc/${ownerHash}/health`
  for (const method of ['GET', 'HEAD']) for (const url of [health, `${health}?deep=1`]) ask({ method, url })
  assert.deepEqual([relayed.length, touched], [4, []])
  for (const asked of [{ method: 'GET' }, { url: health }, { method: 'GET', url: `${health}y` }]) ask(asked)
  assert.deepEqual(touched, ['rt_1', 'rt_1', 'rt_1'])
})

for (const [what, without, asked] of [
  ['a caller who is not known', { caller: undefined }, {}],
  ['a caller without the scope', { caller: { ...caller, scopes: new Set(['runtimes:read']) } }, {}],
  [
    'a caller who is bound to another owner',
    { caller: { ...caller, owner: { mode: 'docker-per-principal' as const, name: 'bob' } } },
    {},
  ],
  ['a runtime that is not known', { runtime: undefined }, {}],
  ['a runtime that does not run', { runtime: { ...runtime, state: 'paused' as const } }, {}],
  ['a runtime that is being paused', { runtime: { ...runtime, workUntil: new Date() } }, {}],
  ['a host that is silent', { live: false }, {}],
  ['a hop token that is not signed yet', { hop: undefined }, {}],
  ['more than may be open', { room: false }, {}],
  ["a port's own host", { portHost: true }, {}],
  ['another door', {}, { url: `/view/${ownerHash}/vnc.html` }],
  ['a path that is not plain', {}, { url: `/rpc/${ownerHash}/a/../b` }],
  ['two Host headers', {}, { rawHeaders: ['Host', 'gw', 'host', 'other'] }],
] as const)
  it(`${what} is left to the router, and nothing stays counted`, () => {
    const { ask, relayed, open } = lane(without as Parameters<typeof house>[0])
    assert.equal(ask(asked as Parameters<typeof ask>[0]), false)
    assert.deepEqual([relayed.length, open.count], [0, 0])
  })
