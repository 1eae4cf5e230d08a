import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { fakeEngine } from '../engine/fake.ts'
import { AgentError } from '../problems.ts'
import { createRuntimes } from '../runtimes.ts'
import { defaults, image, recipe, runtime, silent, startCommand } from '../testing/orders.ts'
import { fenceEngine } from './fenced-engine.ts'
import { createFirewall, type FirewallDependencies } from './firewall.ts'
import { FirewallFailed, FirewallUnavailable, type Tables } from './iptables.ts'

/** A table that shows what it was given. */
const tablesInMemory = (): Tables & { scripts: string[]; listing: Record<string, string> } => {
  const scripts: string[] = []
  const listing: Record<string, string> = { ipv4: '', ipv6: '' }
  return {
    scripts,
    listing,
    read: async family => listing[family] ?? '',
    restore: async (family, script) => {
      scripts.push(script)
      listing[family] = script.replaceAll(/^-I (\S+) 1/gm, '-A $1')
    },
  }
}
const broken = (error: Error): Tables => ({ read: () => Promise.reject(error), restore: () => Promise.reject(error) })

const bench = (more: Partial<FirewallDependencies>) => {
  const engine = fakeEngine({ images: [image] })
  const deps = { mode: 'best-effort', nameservers: async () => [], hasInterface: () => true, log: silent } as const
  const firewall = createFirewall({ ...deps, tables: tablesInMemory(), ...more })
  const fenced = fenceEngine(engine, firewall, defaults.network)
  const probe = async () => ({ ok: true }) as const
  const runtimes = createRuntimes({
    engine: fenced,
    probe,
    hostId: 'h',
    defaults,
    reach: 'bridge',
    startsAtOnce: 1,
    log: silent,
  })
  return {
    engine,
    fenced,
    firewall,
    start: (egress: 'internet' | 'none' | 'open') =>
      runtimes.start(runtime, startCommand({ recipe: recipe({ egress }) })),
  }
}
const warnings = () => {
  const lines: string[] = []
  return { lines, log: pino({ level: 'warn' }, { write: line => lines.push(line) }) }
}

test('rules are in place before the container is made', async () => {
  const tables = tablesInMemory()
  const { engine, start } = bench({ tables })
  const { create } = engine
  engine.create = request => {
    assert.equal(tables.scripts.length, 2)
    return create(request)
  }
  await start('internet')
})

test('every kind of egress has its own network, and an open one has no rules', async () => {
  for (const [egress, name, scripts] of [
    ['internet', 'browser-net', 2],
    ['none', 'browser-net-none', 2],
    ['open', 'browser-net-open', 0],
  ] as const) {
    const tables = tablesInMemory()
    const { engine, start } = bench({ tables })
    await start(egress)
    assert.equal((await engine.findNetworks(name)).length, 1)
    assert.equal(tables.scripts.length, scripts)
  }
})

test('without means to set rules a start goes on with one warning, unless they are required', async () => {
  const tables = broken(new FirewallUnavailable('iptables needs root'))
  const { lines, log } = warnings()
  const { fenced, start } = bench({ tables, log })
  await start('internet')
  await fenced.ensureNetwork(defaults.network, {})
  assert.equal(lines.length, 1)
  assert.match(lines[0] ?? '', /needs root.*PORTHOLE_FIREWALL/)
  const required = bench({ tables, mode: 'required' })
  await assert.rejects(
    required.start('internet'),
    (error: unknown) =>
      error instanceof AgentError && error.code === 'engine-unavailable' && error.cause instanceof FirewallUnavailable,
  )
  assert.ok(!required.engine.calls.includes('create'))
})

test('where there are means, a failure to set rules fails the start', async () => {
  const { engine, start } = bench({ tables: broken(new FirewallFailed('locked')) })
  await assert.rejects(start('internet'), AgentError)
  assert.ok(!engine.calls.includes('create'))
})

test("a bridge that is not on this machine can't be fenced", async () => {
  const { start } = bench({ hasInterface: () => false, mode: 'required' })
  await assert.rejects(start('internet'), AgentError)
})

test('switched off, nothing is read or set', async () => {
  const { start, firewall } = bench({ tables: broken(new Error('touched')), mode: 'off' })
  await start('internet')
  await firewall.run(() => assert.fail(), AbortSignal.timeout(1000))
})

test('a table that somebody emptied is filled again, and one that nobody touched is left alone', async () => {
  const tables = tablesInMemory()
  const { fenced, firewall, start } = bench({ tables })
  await start('internet')
  const look = async () => {
    const stop = new AbortController()
    await firewall.run(() => {
      stop.abort()
      return fenced.fences()
    }, stop.signal)
  }
  await look()
  assert.equal(tables.scripts.length, 2)
  tables.listing.ipv4 = ''
  await look()
  assert.equal(tables.scripts.length, 3)
})

test('a change of the table between look and change is met by another look', async () => {
  const tables = tablesInMemory()
  const { restore } = tables
  let failures = 2
  tables.restore = async (family, script) => {
    if (failures-- > 0) throw new FirewallFailed('no such rule')
    await restore(family, script)
  }
  await bench({ tables }).start('internet')
})
