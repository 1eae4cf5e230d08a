import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { after, before, describe, test } from 'node:test'
import { agentTestLog } from '../../../test/kit/logs.ts'
import { networkLabels } from '../labels.ts'
import { createFencedWorld, type FencedWorld, hasMeans, type Target } from './testing.ts'

const forwarding6 = '/proc/sys/net/ipv6/conf/all/forwarding'

describe('egress', { skip: hasMeans ? false : 'needs root and the browser image', timeout: 180_000 }, () => {
  let world: FencedWorld
  let container = ''
  before(async () => {
    world = await createFencedWorld(agentTestLog('agent'))
    container = await world.start('internet')
  })
  after(() => world?.close())

  test('the internet is reached, nothing private is, and neither is the host on any address', async () => {
    await world.assertOpen(container, world.internet)
    await world.assertRefused(container, world.closed)
    const host = await world.hostTargets()
    const bridge = (await world.docker.getNetwork(world.network).inspect()).IPAM?.Config?.[0]?.Gateway
    assert.ok(host.some(([name]) => name === bridge) && host.length > 1)
    await world.assertRefused(container, host)
  })

  test('a refusal is an answer, so that a page does not hang', async () => {
    const outcomes = await world.attempts(container, [...world.closed, ...(await world.hostTargets())])
    assert.deepEqual(new Set(Object.values(outcomes)), new Set(['ECONNREFUSED']))
  })

  test('another container is not reached, on the same network or another', async () => {
    const neighbours = await Promise.all([world.start('internet'), world.start('open')])
    const targets = await Promise.all(neighbours.map(async name => [await world.addressOf(name), 8787] as const))
    await world.assertRefused(container, targets)
  })

  test('an open runtime reaches all of it: what the others miss is there', async () => {
    const open = await world.start('open')
    await world.assertOpen(open, [...world.internet, ...world.closed, ...(await world.hostTargets())])
  })

  test('a runtime without egress reaches nothing, and the agent still reaches it', async () => {
    const none = await world.start('none')
    await world.assertRefused(none, [...world.internet, ...world.closed, ...(await world.hostTargets())])
    const origin = `http://${await world.addressOf(none)}:8787/`
    const answer = await fetch(origin, { signal: AbortSignal.timeout(5000) })
    assert.equal(await answer.text(), 'ok')
  })

  test('names are resolved through a private name server with egress, and not without', async () => {
    const lookUp = "require('node:dns').lookup('site.test', (e, address) => console.log(e ? e.code : address))"
    const settings = { Dns: [world.outside.nameserver], DnsOptions: ['timeout:1', 'attempts:1'] }
    const resolve = async (network: string) => world.node(await world.stay(network, settings), lookUp)
    assert.equal(await resolve(world.network), world.outside.internet)
    assert.match(await resolve(`${world.network}-none`), /EAI_AGAIN|ENOTFOUND/)
  })

  test("a network with IPv6 does not reach the host's IPv6 addresses", async t => {
    // Docker switches it on for a network with IPv6; a machine that was no router before is none afterwards.
    const forwarding = await readFile(forwarding6, 'utf8')
    t.after(() => writeFile(forwarding6, forwarding))
    const name = `${world.network}-six`
    await world.docker.createNetwork({
      Name: name,
      Labels: { ...networkLabels },
      EnableIPv6: true,
      IPAM: { Config: [{ Subnet: `fd00:${world.run.slice(0, 4)}:${world.run.slice(4)}::/64` }] },
      Options: { 'com.docker.network.bridge.enable_icc': 'false' },
    })
    const [network] = await world.engine.findNetworks(name)
    assert.ok(network)
    const six = await world.stay(name)
    const port = (await world.hostTargets())[0]?.[1] ?? 0
    const targets: Target[] = (networkInterfaces()[network.bridge] ?? []).flatMap(one =>
      one.family === 'IPv6' ? [[one.address.startsWith('fe80') ? `${one.address}%eth0` : one.address, port]] : [],
    )
    assert.ok(targets.length > 1, 'the bridge has no IPv6 addresses')
    await world.assertOpen(six, targets)
    await world.firewall.cover({ ...network, egress: 'internet' })
    await world.assertRefused(six, targets)
  })
})
