import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createUses, type Exchange, isHealthLook } from './uses.ts'

const ports = { view: 6080, cdp: 9222, rpc: 8787, app: 3000 }
const runtime = { id: 'a', ports }

/** A host whose clock stands until it is told. */
const bench = (options: { limit?: number } = {}) => {
  let now = 1000
  let bytes = 0
  const uses = createUses({ ...options, now: () => now })
  return {
    uses,
    pass: (ms: number) => {
      now += ms
    },
    send: (more: number) => {
      bytes += more
    },
    enter: (port: string, kind: Exchange['kind'] = 'socket', runtimeId = 'a') =>
      uses.enter({ runtimeId, port, kind, bytes: () => bytes }),
    unused: (told?: number) => uses.unusedMs(runtime, told),
  }
}

test('a request counts when it begins and when it ends', () => {
  const { pass, enter, unused } = bench()
  pass(5000)
  const leave = enter('app', 'request')
  assert.equal(unused(), 0)
  pass(300)
  leave()
  assert.equal(unused(), 0)
  pass(100)
  leave()
  assert.equal(unused(), 100)
})

test('bytes from the client of an open socket are use, and an open socket without any is none', () => {
  const { pass, send, enter, unused } = bench()
  const leave = enter('app')
  pass(1000)
  assert.equal(unused(), 1000)
  send(3)
  pass(500)
  assert.equal(unused(), 0, 'when they came is not known: just now')
  pass(700)
  assert.equal(unused(), 700)
  send(1)
  leave()
  assert.equal(unused(), 0, 'also those that came last')
})

for (const port of ['rpc', 'app'])
  test(`a request to ${port} is use for as long as it lasts, as a long download is`, () => {
    const { pass, enter, unused } = bench()
    const leave = enter(port, 'request')
    pass(900_000)
    assert.equal(unused(), 0)
    leave()
    pass(10)
    assert.equal(unused(), 10)
  })

test('what begins counts also where the container vouches for a port: it may not have seen that', () => {
  const { pass, send, enter, unused } = bench()
  pass(900_000)
  assert.equal(unused(900_000), 900_000, 'of ports on which nothing has begun only its word counts')
  const leave = enter('view')
  assert.equal(unused(900_000), 0)
  pass(60_000)
  send(10)
  leave()
  assert.equal(unused(960_000), 60_000, 'what comes after, it knows better')
})

test('to ask whether a runtime is well is no use of it', () => {
  for (const path of ['/health', '/health?deep=1'])
    for (const method of ['GET', 'HEAD']) assert(isHealthLook(method, 'rpc', path), `${method} ${path}`)
  for (const [method, port, path] of [
    ['POST', 'rpc', '/health'],
    ['GET', 'app', '/health'],
    ['GET', 'rpc', '/healthy'],
    ['GET', 'rpc', '/v1/health'],
  ] as const)
    assert(!isHealthLook(method, port, path), `${method} ${port} ${path}`)
})

test('what a container tells counts for its view, CDP and RPC, whatever passes there', () => {
  const { pass, send, enter, unused } = bench()
  enter('view')
  enter('app')
  pass(60_000)
  send(10)
  assert.equal(unused(50_000), 0, 'bytes to another port are use all the same')
  pass(60_000)
  assert.equal(unused(100_000), 60_000)
  assert.equal(unused(20_000), 20_000)
})

test('where the container vouches for all of its ports only its word counts', () => {
  const { uses, send, enter, pass } = bench()
  const { app: _, ...own } = ports
  enter('view')
  pass(900_001)
  send(10)
  assert.equal(uses.unusedMs({ id: 'a', ports: own }, 900_000), 900_000)
})

test('another runtime’s use is not this one’s', () => {
  const { pass, enter, unused } = bench()
  pass(1000)
  enter('app', 'request', 'b')
  assert.equal(unused(), 1000)
})

test('what is not remembered counts as used when this agent began, or when it was forgotten', () => {
  const { pass, enter, unused } = bench({ limit: 2 })
  pass(400)
  assert.equal(unused(), 400)
  enter('app', 'request')()
  pass(1000)
  for (const other of ['b', 'c']) enter('app', 'request', other)()
  // Forgotten for others' sake: no older than it was.
  assert.equal(unused(), 1000)
  pass(5)
  assert.equal(unused(), 1005)
})
