import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { deleteCommand, generationCommand, recipe, runtimeFactsList, startCommand } from './commands.ts'
import { heartbeat, heartbeatAnswer } from './heartbeat.ts'
import { challenge, challengeAnswer, isLoopback, joinRequest } from './joining.ts'
import { agentProblem } from './problem.ts'
import { edgePath } from './tokens.ts'

const schemas = { startCommand, generationCommand, deleteCommand, recipe, heartbeat, joinRequest, challenge }
const answers = { runtimeFactsList, heartbeatAnswer, challengeAnswer, agentProblem }

const odd = fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf')
/** As JSON.parse makes it: with names that objects have of their own, too. */
const hostile: fc.Arbitrary<unknown> = fc
  .tuple(fc.jsonValue(), odd, fc.jsonValue())
  .map(([value, name, inner]) => JSON.parse(`{"a":${JSON.stringify(value)},"${name}":${JSON.stringify(inner)}}`))

const command = {
  generation: 1,
  tenant: 't',
  ownerHash: '2bd806c97f0e00af',
  env: {},
  deadlineMs: 1,
  recipe: {
    name: 'browser',
    env: {},
    ports: { view: 6080 },
    health: null,
    volumePath: null,
    keyed: true,
    readOnlyRoot: true,
    tmpfs: {},
    shmBytes: 1,
    memoryBytes: 1,
    cpus: 1,
    pids: 1,
    seccomp: 'browser',
    egress: 'internet',
    stopSeconds: 1,
  },
}

const names = Object.getOwnPropertyNames(Object.prototype).sort()

describe('the schemas of the protocol', () => {
  it('throw at nothing, pollute nothing, and say the same of what they have passed', () => {
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), hostile), value => {
        for (const [name, schema] of Object.entries({ ...schemas, ...answers })) {
          const { success, data } = schema.safeParse(value)
          if (success) assert.deepEqual(schema.parse(JSON.parse(JSON.stringify(data))), data, name)
        }
        assert.deepEqual(Object.getOwnPropertyNames(Object.prototype).sort(), names)
      }),
      { numRuns: 300 },
    )
  })

  it('take no field that they do not know, whatever its name', () => {
    assert(startCommand.safeParse(command).success)
    fc.assert(
      fc.property(fc.oneof(odd, fc.string()), fc.jsonValue(), (name, value) => {
        const extra = `{${JSON.stringify(name)}:${JSON.stringify(value)},`
        const text = JSON.stringify(command)
        if (Object.hasOwn(command, name) || name === 'viewUrl') return
        assert(!startCommand.safeParse(JSON.parse(text.replace('{', () => extra))).success, name)
        if (
          Object.hasOwn(command.recipe, name) ||
          ['image', 'entrypoint', 'command', 'workingDir', 'gpus'].includes(name)
        )
          return
        assert(!startCommand.safeParse(JSON.parse(text.replace('"recipe":{', () => `"recipe":${extra}`))).success, name)
      }),
    )
  })

  it('keep an environment as it is, or refuse it', () => {
    fc.assert(
      fc.property(fc.oneof(odd, fc.string()), fc.string({ unit: 'binary' }), (name, value) => {
        const env: unknown = JSON.parse(`{${JSON.stringify(name)}:${JSON.stringify(value)}}`)
        const { success, data } = startCommand.safeParse({ ...command, env })
        if (!success) return
        assert.equal(Object.getPrototypeOf(data.env), Object.prototype)
        // A name that cannot be kept as data is left out with its value, never obeyed.
        if (name === '__proto__') return assert.deepEqual(Object.getOwnPropertyNames(data.env), [])
        assert.match(name, /^[A-Za-z_]\w*$/)
        assert(!value.includes('\0'))
        assert.equal(Object.getOwnPropertyDescriptor(data.env, name)?.value, value)
      }),
    )
  })

  it('let a host join at an origin only', () => {
    const publicKey = { kty: 'OKP', crv: 'Ed25519', x: 'x' }
    const piece = fc.oneof(
      fc.constantFrom(
        'http://',
        'https://',
        'HTTP:',
        '10.0.0.5',
        ':4748',
        '/',
        '//',
        '@',
        '?',
        '#',
        '\\',
        '..',
        'a.b',
        '[::1]',
        ' ',
        '\n',
      ),
      fc.string({ maxLength: 3 }),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 5 }), parts => {
        // What is no URL at all has a test of its own below.
        fc.pre(URL.canParse(parts.join('')))
        const { success, data } = joinRequest.safeParse({ token: 't', name: 'h', url: parts.join(''), publicKey })
        if (!success) return
        const { protocol, username, password, pathname, search, hash, origin } = new URL(data.url)
        assert.match(protocol, /^https?:$/)
        assert.deepEqual([username, password, pathname, search, hash], ['', '', '/', '', ''])
        assert.equal(data.url.replace(/\/$/, ''), origin)
        assert.equal(typeof isLoopback(data.url), 'boolean')
      }),
      { numRuns: 1000 },
    )
  })

  it('refuse a host at what is no URL, and do not throw', {}, () => {
    const publicKey = { kty: 'OKP', crv: 'Ed25519', x: 'x' }
    for (const url of ['', 'host', 'http://', '//h'])
      assert.equal(joinRequest.safeParse({ token: 't', name: 'h', url, publicKey }).success, false)
  })

  it('write edge paths that can be read again in one way', () => {
    const rest = fc.stringMatching(/^\/[!-~]{0,20}$/)
    fc.assert(
      fc.property(
        fc.integer({ min: 1 }),
        fc.stringMatching(/^[a-z][a-z0-9-]{0,30}$/),
        rest,
        (generation, port, rest) => {
          const id = `rt_${'0'.repeat(26)}`
          const [, read] =
            /^\/edge\/rt_0{26}\/(\d+\/[a-z][a-z0-9-]*)\//.exec(edgePath(id, generation, port, rest)) ?? []
          assert.equal(read, `${generation}/${port}`)
          assert(edgePath(id, generation, port, rest).endsWith(rest))
        },
      ),
    )
  })
})
