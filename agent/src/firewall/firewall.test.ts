import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { fakeEngine } from '../engine/fake.ts'
import { AgentError } from '../problems.ts'
import { createRuntimes } from '../runtimes.ts'
import { defaults, image, recipe, runtime, silent, startCommand } from '../testing/orders.ts'
import { fenceEngine } from './fenced-engine.ts'
import { createFirewall, type Firewall, type FirewallDependencies } from './firewall.ts'
import { FirewallFailed, FirewallUnavailable, type Tables } from './iptables.ts'
import type { Fence } from './rules.ts'

/** Tables that show what they were given. */
const tablesInMemory = (): Tables & { scripts: string[]; listing: Record<string, string> } => {
  const scripts: string[] = []
  const listing: Record<string, string> = {}
  return {
    scripts,
    listing,
    read: async (family, table) => listing[`${family} ${table}`] ?? '',
    restore: async (family, script) => {
      scripts.push(script)
      listing[`${family} ${/^\*(\S+)/.exec(script)?.[1]}`] = script.replaceAll(/^-I (\S+) 1/gm, '-A $1')
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

const lookOnce = async (firewall: Firewall, fences: () => Promise<readonly Fence[]>): Promise<void> => {
  const stop = new AbortController()
  await firewall.run(() => {
    stop.abort()
    return fences()
  }, stop.signal)
}
const leftBy = (network: string) =>
  [
    ...[`-N PORTHOLE-FWD-${network}`, `-A FORWARD -i br-${network} -j PORTHOLE-FWD-${network}`],
    ...[`-N PORTHOLE-IN-${network}`, `-A INPUT -i br-${network} -j PORTHOLE-IN-${network}`],
  ].join('\n')

test('rules are in place before the container is made', async () => {
  const tables = tablesInMemory()
  const { engine, start } = bench({ tables })
  const { create } = engine
  engine.create = request => {
    assert.equal(tables.scripts.length, 4)
    return create(request)
  }
  await start('internet')
})

test('every kind of egress has its own network, and an open one has no rules', async () => {
  for (const [egress, name, scripts] of [
    ['internet', 'browser-net', 4],
    ['none', 'browser-net-none', 4],
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
  const look = () => lookOnce(firewall, fenced.fences)
  await look()
  assert.equal(tables.scripts.length, 4)
  for (const [at, table] of ['ipv4 security', 'ipv4 filter'].entries()) {
    const before = tables.listing[table]
    tables.listing[table] = ''
    await look()
    assert.equal(tables.scripts.length, 5 + at)
    assert.equal(tables.listing[table], before)
  }
})

test('what holds is in place before what only answers', async () => {
  const tables = tablesInMemory()
  await bench({ tables }).start('internet')
  assert.deepEqual(
    tables.scripts.map(script => script.split('\n')[0]),
    ['*security', '*filter', '*security', '*filter'],
  )
  assert.match(tables.listing['ipv4 security'] ?? '', /-d 10\.0\.0\.0\/8 -j DROP/)
  assert.doesNotMatch(tables.listing['ipv4 security'] ?? '', /REJECT/)
  assert.match(tables.listing['ipv4 filter'] ?? '', /-d 10\.0\.0\.0\/8 -j REJECT/)
})

test('a kernel without a security table drops in the mangle table', async () => {
  const tables = tablesInMemory()
  const { read } = tables
  tables.read = async (family, table) => {
    if (table === 'security') throw new FirewallUnavailable('no such table')
    return read(family, table)
  }
  await bench({ tables, mode: 'required' }).start('internet')
  assert.match(tables.listing['ipv4 mangle'] ?? '', /-d 10\.0\.0\.0\/8 -j DROP/)
})

test('with a network that is gone go its rules at the next look, and no start on another fails before', async () => {
  const tables = tablesInMemory()
  const gone = new Set<string>()
  const { firewall } = bench({ tables, mode: 'required', hasInterface: name => !gone.has(name) })
  const [one, two] = ['aaaaaaaaaaaa', 'bbbbbbbbbbbb'].map(
    id => ({ id, bridge: `br-${id}`, egress: 'internet' }) as const,
  )
  assert.ok(one && two)
  await firewall.cover(one)
  gone.add(one.bridge)
  // Made after the other was removed, and before the agent has looked again.
  await firewall.cover(two)
  tables.scripts.length = 0
  // As after a start of the agent: nothing is known but what the tables show.
  for (const table of Object.keys(tables.listing)) tables.listing[table] = leftBy(one.id)
  await lookOnce(firewall, async () => [two])
  assert.equal(tables.scripts.length, 4)
  for (const script of tables.scripts) {
    for (const chain of [`PORTHOLE-FWD-${one.id}`, `PORTHOLE-IN-${one.id}`]) {
      assert.match(script, new RegExp(`^-D \\S+ -i ${one.bridge} -j ${chain}\n-F ${chain}\n-X ${chain}$`, 'm'))
    }
  }
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

test('somebody who overtakes the rules again and again fails a start where they hold, not where they answer', async () => {
  for (const [table, holds] of [
    ['security', true],
    ['filter', false],
  ] as const) {
    const tables = tablesInMemory()
    const { read } = tables
    const before = '-A FORWARD -j ACCEPT\n-A INPUT -j ACCEPT\n'
    tables.read = async (family, name) => (name === table ? before : '') + (await read(family, name))
    const started = bench({ tables }).start('internet')
    await (holds ? assert.rejects(started, AgentError) : started)
    assert.ok(tables.scripts.length <= 8)
  }
})
