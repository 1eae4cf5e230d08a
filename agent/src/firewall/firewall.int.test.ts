import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import type { Recipe } from '@porthole/protocol'
import Docker from 'dockerode'
import { eventually } from '../../../test/kit/eventually.ts'
import { dockerEngine } from '../engine/docker.ts'
import { httpProbe } from '../health.ts'
import { networkLabels } from '../labels.ts'
import { createRuntimes } from '../runtimes.ts'
import { realEngine } from '../testing/config.ts'
import { runIn } from '../testing/inside.ts'
import { recipe, silent, defaults as someDefaults, startCommand } from '../testing/orders.ts'
import { createOutside, type Outside } from '../testing/outside.ts'
import { fenceEngine } from './fenced-engine.ts'
import { createFirewall } from './firewall.ts'
import { iptables } from './iptables.ts'
import type { Fence } from './rules.ts'

const { address, image } = await realEngine()
const engine = dockerEngine(address)
const docker = new Docker(address)
const run = randomBytes(4).toString('hex')
const hostId = `host_test_${run}`
const defaults = {
  ...someDefaults,
  image,
  network: `porthole-test-${run}`,
  containerPrefix: `porthole-test-${run}-c-`,
  volumePrefix: `porthole-test-${run}-v-`,
}
const tables = iptables()
const forwarding6 = '/proc/sys/net/ipv6/conf/all/forwarding'
const hasMeans = process.getuid?.() === 0 && image.startsWith('browser-use-browser-runtime')
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

const flooder = `
  const { connect } = require('node:net'); const [host, port, ms] = process.argv.slice(1); const until = Date.now() + Number(ms)
  let tries = 0, opened = 0
  const next = () => {
    if (Date.now() > until) return console.log(JSON.stringify({ tries, opened }))
    tries++; const socket = connect({ host, port: Number(port), timeout: 200 })
    let ended = false; const end = () => { if (ended) return; ended = true; socket.destroy(); setImmediate(next) }
    socket.on('connect', () => { opened++; end() }).on('error', end).on('timeout', end)
  }
  next()`

const node = async (container: string, script: string, ...args: string[]): Promise<string> =>
  (await runIn(docker, container, ['/usr/local/bin/node', '-e', script, ...args])).output.trim()

type Target = readonly [host: string, port: number]
const attempts = async (container: string, targets: readonly Target[]): Promise<Record<string, string>> => {
  const outcomes: string[] = JSON.parse(await node(container, connector, JSON.stringify(targets)))
  return Object.fromEntries(targets.map(([host, port], i) => [`${host} ${port}`, outcomes[i] ?? 'none']))
}
const assertAll = (outcomes: Record<string, string>, pattern: RegExp) => {
  for (const [target, outcome] of Object.entries(outcomes)) assert.match(outcome, pattern, `${target}: ${outcome}`)
}

const table = async (...args: string[]): Promise<string> =>
  (await promisify(execFile)('iptables', ['-w', '5', ...args], { timeout: 10_000 })).stdout

describe('egress', { skip: hasMeans ? false : 'needs root and the browser image', timeout: 180_000 }, () => {
  const stop = new AbortController()
  let nameservers: string[] = []
  const firewall = createFirewall({
    mode: 'required',
    tables,
    nameservers: async () => nameservers,
    hasInterface: name => existsSync(`/sys/class/net/${name}`),
    log: silent,
  })
  const fenced = fenceEngine(engine, firewall, defaults.network)
  const runtimes = createRuntimes({
    engine: fenced,
    probe: httpProbe(),
    hostId,
    defaults,
    reach: 'bridge',
    startsAtOnce: 4,
    log: silent,
  })
  let outside: Outside
  let made = 0
  const hostServer = createServer(socket => socket.on('error', () => undefined).end('host'))
  const start = async (egress: Recipe['egress']): Promise<string> => {
    const at = String(made++).padStart(3, '0')
    const ownerHash = `${run}${at.padStart(8, '0')}`
    const id = `rt_01K00000000000000000000${at}`
    await runtimes.start(id, startCommand({ ownerHash, recipe: sleeper(egress), deadlineMs: 30_000 }))
    return `${defaults.containerPrefix}${ownerHash}`
  }
  const addressOf = async (container: string) => (await engine.inspect(container))?.address ?? assert.fail(container)
  const fenceOf = async (egress: Fence['egress']): Promise<Fence> =>
    (await fenced.fences()).find(fence => fence.egress === egress) ?? assert.fail(`no network for ${egress}`)
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
  const closedTargets = (): Target[] => outside.closed.map(host => [host, outside.port])

  before(async () => {
    outside = await createOutside()
    nameservers = [outside.nameserver]
    await new Promise<void>(resolve => hostServer.listen(0, '::', resolve))
  })

  after(async () => {
    hostServer.close()
    const { network } = defaults
    for (const { Id } of await docker.listContainers({ all: true, filters: { name: [`porthole-test-${run}`] } })) {
      await docker.getContainer(Id).remove({ force: true, v: true })
    }
    for (const name of [network, `${network}-none`, `${network}-open`, `${network}-six`]) {
      await docker
        .getNetwork(name)
        .remove()
        .catch(() => undefined)
    }
    await outside?.close()
    // With its networks gone, the next look takes the chains away.
    const once = async () => {
      stop.abort()
      return []
    }
    await firewall.run(once, stop.signal)
  })

  let container = ''
  test('the internet is reached, nothing private is, and neither is the host on any address', async () => {
    container = await start('internet')
    assert.deepEqual(await attempts(container, [[outside.internet, outside.port]]), {
      [`${outside.internet} ${outside.port}`]: 'open',
    })
    assertAll(await attempts(container, closedTargets()), refused)
    const host = await hostTargets()
    const bridge = (await docker.getNetwork(defaults.network).inspect()).IPAM?.Config?.[0]?.Gateway
    assert.ok(host.some(([name]) => name === bridge) && host.length > 1)
    assertAll(await attempts(container, host), refused)
  })

  test('another container is not reached, on the same network or another', async () => {
    const neighbours = await Promise.all([start('internet'), start('open')])
    const targets = await Promise.all(neighbours.map(async name => [await addressOf(name), 8787] as const))
    assertAll(await attempts(container, targets), refused)
  })

  test('an open runtime reaches all of it: what the others miss is there', async () => {
    const open = await start('open')
    assertAll(
      await attempts(open, [[outside.internet, outside.port], ...closedTargets(), ...(await hostTargets())]),
      /^open$/,
    )
  })

  test('a runtime without egress reaches nothing, and the agent still reaches it', async () => {
    const none = await start('none')
    const targets: Target[] = [[outside.internet, outside.port], ...closedTargets(), ...(await hostTargets())]
    assertAll(await attempts(none, targets), refused)
    const answer = await fetch(`http://${await addressOf(none)}:8787/`, { signal: AbortSignal.timeout(5000) })
    assert.equal(await answer.text(), 'ok')
  })

  test('names are resolved through a private name server with egress, and not without', async () => {
    const lookUp = "require('node:dns').lookup('site.test', (e, address) => console.log(e ? e.code : address))"
    const resolve = async (network: string): Promise<string> => {
      const resolver = await docker.createContainer({
        name: `porthole-test-${run}-dns-${made++}`,
        Image: image,
        Entrypoint: ['/usr/local/bin/node', '-e', 'setInterval(() => {}, 1e6)'],
        HostConfig: { NetworkMode: network, Dns: [outside.nameserver], DnsOptions: ['timeout:1', 'attempts:1'] },
      })
      await resolver.start()
      return node(resolver.id, lookUp)
    }
    assert.equal(await resolve(defaults.network), outside.internet)
    assert.match(await resolve(`${defaults.network}-none`), /EAI_AGAIN|ENOTFOUND/)
  })

  test('rules that somebody took away, or put others before, are put back', async t => {
    const { id, bridge } = await fenceOf('internet')
    t.after(() => table('-D', 'DOCKER-USER', '-i', bridge, '-j', 'ACCEPT'))
    const chain = id.slice(0, 12)
    const harm = [
      ['-F', `PORTHOLE-FWD-${chain}`],
      ['-D', 'DOCKER-USER', '-i', bridge, '-j', `PORTHOLE-FWD-${chain}`],
      ['-I', 'DOCKER-USER', '1', '-i', bridge, '-j', 'ACCEPT'],
      ['-D', 'INPUT', '-i', bridge, '-j', `PORTHOLE-IN-${chain}`],
    ]
    const targets = [...closedTargets(), ...(await hostTargets())]
    for (const one of harm) {
      await table(...one)
      assert.ok(Object.values(await attempts(container, targets)).includes('open'), `${one.join(' ')} opens nothing`)
      // More than once, as the agent does: whenever a network is made, by another test say, Docker takes the way to
      // DOCKER-USER out for a moment, and what is seen in that moment is not what is there afterwards.
      await eventually(async () => {
        await firewall.cover({ id, bridge, egress: 'internet' })
        assertAll(await attempts(container, targets), refused)
      }, 10_000)
    }
  })

  test('a chain of Docker that nobody goes through any more is not relied on', async () => {
    const { id, bridge } = await fenceOf('internet')
    // As after `iptables -F FORWARD`, without harm to this machine's other networks.
    const lines = (await table('-S', 'FORWARD')).split('\n')
    const place = lines.filter(line => line.startsWith('-A')).indexOf('-A FORWARD -j DOCKER-USER') + 1
    assert.ok(place > 0)
    await table('-D', 'FORWARD', '-j', 'DOCKER-USER')
    try {
      await firewall.cover({ id, bridge, egress: 'internet' })
      assertAll(await attempts(container, closedTargets()), refused)
    } finally {
      await table('-I', 'FORWARD', String(place), '-j', 'DOCKER-USER')
    }
    await firewall.cover({ id, bridge, egress: 'internet' })
    assert.doesNotMatch(await table('-S', 'FORWARD'), new RegExp(`PORTHOLE-FWD-${id.slice(0, 12)}`))
  })

  test('there is no open moment while rules are changed', async () => {
    const fence = await fenceOf('internet')
    const [closed] = outside.closed.slice(1)
    const flood = node(container, flooder, String(closed), String(outside.port), '3000')
    const ended = new AbortController()
    void flood.finally(() => ended.abort())
    let changes = 0
    while (!ended.signal.aborted) {
      nameservers = changes++ % 2 === 0 ? [outside.nameserver, '10.99.0.1'] : [outside.nameserver]
      await firewall.cover(fence)
    }
    nameservers = [outside.nameserver]
    const { tries, opened } = JSON.parse(await flood)
    assert.ok(tries > 200 && changes > 10, `${tries} tries, ${changes} changes`)
    assert.equal(opened, 0)
  })

  test("a network with IPv6 does not reach the host's IPv6 addresses", async t => {
    // Docker switches it on for a network with IPv6; a machine that was no router before is none afterwards.
    const forwarding = await readFile(forwarding6, 'utf8')
    t.after(() => writeFile(forwarding6, forwarding))
    const name = `${defaults.network}-six`
    await docker.createNetwork({
      Name: name,
      Labels: { ...networkLabels },
      EnableIPv6: true,
      IPAM: { Config: [{ Subnet: `fd00:${run.slice(0, 4)}:${run.slice(4)}::/64` }] },
      Options: { 'com.docker.network.bridge.enable_icc': 'false' },
    })
    const [network] = await engine.findNetworks(name)
    assert.ok(network)
    const six = await docker.createContainer({
      name: `porthole-test-${run}-six`,
      Image: image,
      Entrypoint: ['/usr/local/bin/node', '-e', 'setInterval(() => {}, 1e6)'],
      HostConfig: { NetworkMode: name },
    })
    await six.start()
    const port = (await hostTargets())[0]?.[1] ?? 0
    const targets: Target[] = (networkInterfaces()[network.bridge] ?? []).flatMap(one =>
      one.family === 'IPv6' ? [[one.address.startsWith('fe80') ? `${one.address}%eth0` : one.address, port]] : [],
    )
    assert.ok(targets.length > 1, 'the bridge has no IPv6 addresses')
    assertAll(await attempts(six.id, targets), /^open$/)
    await firewall.cover({ ...network, egress: 'internet' })
    assertAll(await attempts(six.id, targets), refused)
  })

  test('with a network go its rules', async () => {
    const network = await engine.ensureNetwork(`${defaults.network}-six2`, networkLabels)
    await firewall.cover({ ...network, egress: 'internet' })
    assert.match(await table('-S'), new RegExp(network.id.slice(0, 12)))
    await docker.getNetwork(network.id).remove()
    await firewall.cover(await fenceOf('internet')).catch(() => undefined)
    assert.doesNotMatch(await table('-S'), new RegExp(network.id.slice(0, 12)))
  })
})
