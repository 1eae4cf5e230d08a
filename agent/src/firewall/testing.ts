import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { promisify } from 'node:util'
import type { Recipe } from '@porthole/protocol'
import Docker from 'dockerode'
import type { Logger } from 'pino'
import { dockerEngine } from '../engine/docker.ts'
import { httpProbe } from '../health.ts'
import { createRuntimes } from '../runtimes.ts'
import { realEngine } from '../testing/config.ts'
import { runIn } from '../testing/inside.ts'
import { recipe, defaults as someDefaults, startCommand } from '../testing/orders.ts'
import { createOutside } from '../testing/outside.ts'
import { fenceEngine } from './fenced-engine.ts'
import { createFirewall, type Firewall } from './firewall.ts'
import { iptables } from './iptables.ts'
import type { TableName } from './plan.ts'
import type { Fence } from './rules.ts'

export type Target = readonly [host: string, port: number]

/** What every way of refusing looks like from inside, and of being dropped. */
const refused = /^(EHOSTUNREACH|ENETUNREACH|ECONNREFUSED|EACCES|ETIMEDOUT|timeout)$/

/** What answers ready on 8787 and stays. */
const sleeper = (egress: Recipe['egress']): Recipe =>
  recipe({
    entrypoint: ['/usr/local/bin/node', '-e', "require('http').createServer((q, s) => s.end('ok')).listen(8787, '::')"],
    command: [],
    volumePath: null,
    ports: { rpc: 8787 },
    memoryBytes: 2 ** 28,
    shmBytes: 2 ** 26,
    pids: 64,
    egress,
  })

const connector = `
  const attempt = ([host, port]) => new Promise(resolve => {
    const socket = require('node:net').connect({ host, port, timeout: 3000 })
    const end = outcome => { socket.destroy(); resolve(outcome) }
    socket.on('connect', () => end('open')).on('error', e => end(e.code)).on('timeout', () => end('timeout'))
  })
  Promise.all(JSON.parse(process.argv[1]).map(attempt)).then(outcomes => console.log(JSON.stringify(outcomes)))`

/** Several at once: while one waits for an answer that does not come, the others go on trying. */
const flooder = `
  const { connect } = require('node:net'); const [host, port, ms] = process.argv.slice(1); const until = Date.now() + Number(ms)
  let tries = 0, opened = 0
  process.on('exit', () => console.log(JSON.stringify({ tries, opened })))
  const next = () => {
    if (Date.now() > until) return
    tries++; const socket = connect({ host, port: Number(port), timeout: 200 })
    let ended = false; const end = () => { if (ended) return; ended = true; socket.destroy(); setImmediate(next) }
    socket.on('connect', () => { opened++; end() }).on('error', end).on('timeout', end)
  }
  for (let lane = 0; lane < 8; lane++) next()`

/** Calls the machine's own program; of the words of `iptables`, `-w` is given. */
export const table = async (...args: string[]): Promise<string> =>
  (await promisify(execFile)('iptables', ['-w', '5', ...args], { timeout: 10_000 })).stdout

/** Everything that a network's chains and the ways to them are in; of both families, all tables that may hold them. */
export const tracesOf = async (networkId: string): Promise<string[]> => {
  const name = networkId.slice(0, 12)
  const traces: string[] = []
  for (const family of ['ipv4', 'ipv6'] as const) {
    for (const one of ['filter', 'security', 'mangle'] as const satisfies readonly TableName[]) {
      const lines = (await iptables().read(family, one)).split('\n')
      traces.push(...lines.filter(line => line.includes(name)).map(line => `${family} ${one} ${line}`))
    }
  }
  return traces
}

const { address, image } = await realEngine()
export const hasMeans = process.getuid?.() === 0 && image.startsWith('browser-use-browser-runtime')

/** A firewall that is required, on this machine's engine and tables, and a world outside of it to reach or not. */
export const createFencedWorld = async (log: Logger) => {
  const engine = dockerEngine(address)
  const docker = new Docker(address)
  const run = randomBytes(4).toString('hex')
  const defaults = {
    ...someDefaults,
    image,
    network: `porthole-test-${run}`,
    containerPrefix: `porthole-test-${run}-c-`,
    volumePrefix: `porthole-test-${run}-v-`,
  }
  const outside = await createOutside()
  let nameservers = [outside.nameserver]
  /** As an agent that has just been started has it: it knows of nothing that was before. */
  const newFirewall = (): Firewall =>
    createFirewall({
      mode: 'required',
      tables: iptables(),
      nameservers: async () => nameservers,
      hasInterface: name => existsSync(`/sys/class/net/${name}`),
      log,
    })
  const firewall = newFirewall()
  const fenced = fenceEngine(engine, firewall, defaults.network)
  const runtimes = createRuntimes({
    engine: fenced,
    probe: httpProbe(),
    hostId: `host_test_${run}`,
    defaults,
    reach: 'bridge',
    startsAtOnce: 4,
    log,
  })
  const hostServer = createServer(socket => socket.on('error', () => undefined).end('host'))
  await new Promise<void>(resolve => hostServer.listen(0, '::', resolve))
  let made = 0

  const start = async (egress: Recipe['egress']): Promise<string> => {
    const at = String(made++).padStart(3, '0')
    const ownerHash = `${run}${at.padStart(8, '0')}`
    const id = `rt_01K00000000000000000000${at}`
    await runtimes.start(id, startCommand({ ownerHash, recipe: sleeper(egress), deadlineMs: 30_000 }))
    return `${defaults.containerPrefix}${ownerHash}`
  }
  /** A container that only stays, on a network of any name; gives its id. */
  const stay = async (network: string, more: Docker.HostConfig = {}): Promise<string> => {
    const container = await docker.createContainer({
      name: `porthole-test-${run}-stay-${made++}`,
      Image: image,
      Entrypoint: ['/usr/local/bin/node', '-e', 'setInterval(() => {}, 1e6)'],
      HostConfig: { NetworkMode: network, ...more },
    })
    await container.start()
    return container.id
  }
  const node = async (container: string, script: string, ...args: string[]): Promise<string> =>
    (await runIn(docker, container, ['/usr/local/bin/node', '-e', script, ...args])).output.trim()
  const attempts = async (container: string, targets: readonly Target[]): Promise<Record<string, string>> => {
    const outcomes: string[] = JSON.parse(await node(container, connector, JSON.stringify(targets)))
    return Object.fromEntries(targets.map(([host, port], i) => [`${host} ${port}`, outcomes[i] ?? 'none']))
  }
  const assertAll = async (container: string, targets: readonly Target[], pattern: RegExp): Promise<void> => {
    assert.ok(targets.length > 0)
    for (const [target, outcome] of Object.entries(await attempts(container, targets)))
      assert.match(outcome, pattern, `${target}: ${outcome}`)
  }
  /** This machine's own addresses, but those that come and go with other tests. */
  const hostTargets = async (): Promise<Target[]> => {
    const bridges = (await fenced.fences()).map(({ bridge }) => bridge)
    const listening = hostServer.address()
    const port = typeof listening === 'object' && listening ? listening.port : 0
    return Object.entries(networkInterfaces())
      .filter(([name]) => bridges.includes(name) || !/^(br-|pt\d)/.test(name))
      .flatMap(([, addresses = []]) => addresses)
      .flatMap(one => (one.family === 'IPv4' && !one.internal ? [[one.address, port] as const] : []))
  }

  return {
    ...{ engine, docker, run, network: defaults.network, outside, firewall, newFirewall, fenced },
    ...{ start, stay, node, attempts, hostTargets },
    internet: [[outside.internet, outside.port]] as readonly Target[],
    closed: outside.closed.map((host): Target => [host, outside.port]),
    assertRefused: (container: string, targets: readonly Target[]) => assertAll(container, targets, refused),
    assertOpen: (container: string, targets: readonly Target[]) => assertAll(container, targets, /^open$/),
    setNameservers: (addresses: string[]) => {
      nameservers = addresses
    },
    addressOf: async (container: string) => (await engine.inspect(container))?.address ?? assert.fail(container),
    fenceOf: async (egress: Fence['egress']): Promise<Fence> =>
      (await fenced.fences()).find(fence => fence.egress === egress) ?? assert.fail(`no network for ${egress}`),
    /** Tries one address for that many milliseconds; gives how often it was tried, and how often it was reached. */
    flood: async (container: string, [host, port]: Target, ms: number): Promise<{ tries: number; opened: number }> =>
      JSON.parse(await node(container, flooder, host, String(port), String(ms))),
    close: async (): Promise<void> => {
      hostServer.close()
      for (const { Id } of await docker.listContainers({ all: true, filters: { name: [`porthole-test-${run}`] } })) {
        await docker.getContainer(Id).remove({ force: true, v: true })
      }
      for (const { Id } of await docker.listNetworks({ filters: { name: [`porthole-test-${run}`] } })) {
        await docker.getNetwork(Id).remove()
      }
      await outside.close()
      // With its networks gone, the next look takes the chains away.
      await lookOnce(firewall, async () => [])
    },
  }
}

/** One of the looks that the agent takes every few seconds. */
export const lookOnce = async (firewall: Firewall, fences: () => Promise<readonly Fence[]>): Promise<void> => {
  const stop = new AbortController()
  await firewall.run(() => {
    stop.abort()
    return fences()
  }, stop.signal)
}

export type FencedWorld = Awaited<ReturnType<typeof createFencedWorld>>
