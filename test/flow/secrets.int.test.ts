import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { evidence } from '../kit/evidence.ts'
import type { Secret } from '../kit/evidence-folder.ts'
import { createLeakSearch } from '../kit/leaks.ts'
import { authorization, ensure, type Runtime } from '../kit/runtime.ts'
import { startStack, type TestStack } from '../kit/stack.ts'

// That no log has a secret is looked for when all tests have run: test/kit/evidence-reporter.ts. This file is about the
// other places that anybody on a machine can read.
describe('secrets of a running stack', { concurrency: false }, () => {
  let stack: TestStack
  let alice: Runtime
  let bob: Runtime
  const envOf = { alice: 'alices-model-key-0123456789', bob: 'bobs-model-key-9876543210' }

  before(async () => {
    stack = await startStack()
    ;[alice, bob] = await Promise.all([
      ensure(stack, { userId: 'alice', env: { OPENAI_API_KEY: envOf.alice } }),
      ensure(stack, { userId: 'bob', env: { OPENAI_API_KEY: envOf.bob } }),
    ])
  })
  after(() => stack?.close())

  const inspect = ({ ownerHash }: Runtime) =>
    stack.docker.getContainer(`${stack.names.containerPrefix}${ownerHash}`).inspect()
  const keyOf = (env: string[]) => {
    const line = env.find(setting => setting.startsWith('PORTHOLE_KEY='))
    return line?.slice('PORTHOLE_KEY='.length) ?? assert.fail('the container has no key')
  }
  /** Everything that this file's stack keeps to itself. */
  const secrets = async (): Promise<Secret[]> => {
    const keys = await Promise.all([alice, bob].map(async runtime => keyOf((await inspect(runtime)).Config.Env)))
    for (const key of keys) evidence.remember('container key', key)
    return evidence.known()
  }

  it('are used: tokens, tickets, cookies and keys are there to be looked for', async () => {
    // A person's way: the ticket is exchanged for a cookie.
    const ticket = await stack.call('POST', `/v1/runtimes/${alice.id}/tickets`, {})
    const { url } = (await ticket.json()) as { url: string }
    const landed = await fetch(url, { redirect: 'manual' })
    assert.match(landed.headers.get('set-cookie') ?? '', /porthole_view=/)
    const rpc = await fetch(`${stack.gatewayUrl}/rpc/${alice.ownerHash}/health`, { headers: authorization(stack) })
    assert.equal(rpc.status, 200)
    const kinds = new Set((await secrets()).map(({ kind }) => kind))
    for (const kind of [
      'PORTHOLE_SECRET',
      'database password',
      'bearer token',
      'join token',
      'ticket',
      'cookie',
      'container key',
      'request env',
      'host key',
    ] as const)
      assert(kinds.has(kind), `no ${kind} was noted`)
  })

  it('stand on no command line, of our processes or of any container', {
    skip: process.platform !== 'linux' && 'reads /proc',
  }, async () => {
    const search = createLeakSearch(await secrets())
    const seen = commandLines()
    const { State } = await inspect(alice)
    const ours = [stack.gateway().pid, stack.agent().pid, State.Pid]
    // The engine on another machine's processes, or in a machine of its own, are not to be seen from here.
    for (const pid of seen.has(State.Pid) ? ours : ours.slice(0, 2)) assert(seen.has(pid), `process ${pid} is not seen`)
    const leaks = [...seen].flatMap(([pid, line]) => search(line).map(({ names }) => `process ${pid}: ${names.join()}`))
    assert.deepEqual(leaks, [])
  })

  it('are in a container only where they are its own: its key and its environment', async () => {
    const all = await secrets()
    for (const [own, env, other] of [
      [alice, envOf.alice, bob],
      [bob, envOf.bob, alice],
    ] as const) {
      const found = await inspect(own)
      const key = keyOf(found.Config.Env)
      assert(found.Config.Env.includes(`OPENAI_API_KEY=${env}`))
      const mine = [key, env]
      const foreign = all.filter(({ value }) => !mine.includes(value))
      assert(
        foreign.some(({ value }) => value === (other === bob ? envOf.bob : envOf.alice)),
        'there is nothing foreign to look for',
      )
      // What the engine shows of it but for its own two: looked at for what is foreign, and for what looks like a secret.
      const text = mine.reduce((shown, value) => shown.replaceAll(value, '[hidden]'), JSON.stringify(found))
      assert.deepEqual(
        createLeakSearch(foreign)(text).flatMap(({ names }) => names),
        [],
      )
      // Its own stand in its environment, and nowhere else that the engine shows.
      const { Env: _, ...rest } = found.Config
      const elsewhere = JSON.stringify({ ...found, Config: rest })
      for (const value of mine) assert(!elsewhere.includes(value), 'it stands outside of the environment too')
    }
  })
})

/** By process id: the words of every process there is, by lines. */
function commandLines(): Map<number, string> {
  const lines = new Map<number, string>()
  for (const name of readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
    try {
      lines.set(Number(name), readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' '))
    } catch {
      // It has ended in between.
    }
  }
  return lines
}
