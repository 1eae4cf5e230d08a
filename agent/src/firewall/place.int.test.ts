import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { eventually } from '../../../test/kit/eventually.ts'
import { agentTestLog } from '../../../test/kit/logs.ts'
import { networkLabels } from '../labels.ts'
import { createFencedWorld, type FencedWorld, hasMeans, lookOnce, table, tracesOf } from './testing.ts'

const places = ['security', 'filter'] as const

describe("the rules' place", { skip: hasMeans ? false : 'needs root and the browser image', timeout: 180_000 }, () => {
  let world: FencedWorld
  let container = ''
  before(async () => {
    world = await createFencedWorld(agentTestLog('agent'))
    container = await world.start('internet')
  })
  after(() => world?.close())

  test('while networks are made and removed nothing private is reached, not once', async () => {
    const [, closed] = world.closed
    assert.ok(closed)
    let isOver = false
    const flooding = (async () => {
      const sum = { tries: 0, opened: 0 }
      while (!isOver) {
        const { tries, opened } = await world.flood(container, closed, 1500)
        sum.tries += tries
        sum.opened += opened
      }
      return sum
    })()
    try {
      for (let made = 0; made < 20; made++) {
        const { id } = await world.docker.createNetwork({ Name: `${world.network}-passing` })
        await world.docker.getNetwork(id).remove()
      }
    } finally {
      isOver = true
      await flooding
    }
    const { tries, opened } = await flooding
    assert.ok(tries > 200, `${tries} tries`)
    assert.equal(opened, 0, `${opened} of ${tries} came through`)
  })

  test('there is no open moment while rules are changed', async () => {
    const fence = await world.fenceOf('internet')
    const [, closed] = world.closed
    const { nameserver } = world.outside
    assert.ok(closed)
    const flood = world.flood(container, closed, 3000)
    const ended = new AbortController()
    void flood.finally(() => ended.abort())
    let changes = 0
    while (!ended.signal.aborted) {
      world.setNameservers(changes++ % 2 === 0 ? [nameserver, '10.99.0.1'] : [nameserver])
      await world.firewall.cover(fence)
    }
    world.setNameservers([nameserver])
    const { tries, opened } = await flood
    assert.ok(tries > 200 && changes > 10, `${tries} tries, ${changes} changes`)
    assert.equal(opened, 0)
  })

  test('rules that somebody took away, or put others before, are put back; either table holds without the other', async t => {
    const { id, bridge } = await world.fenceOf('internet')
    const chain = id.slice(0, 12)
    t.after(async () => {
      for (const place of places)
        await table('-t', place, '-D', 'FORWARD', '-i', bridge, '-j', 'ACCEPT').catch(() => undefined)
    })
    const harm = [
      ['-F', `PORTHOLE-FWD-${chain}`],
      ['-D', 'FORWARD', '-i', bridge, '-j', `PORTHOLE-FWD-${chain}`],
      ['-I', 'FORWARD', '1', '-i', bridge, '-j', 'ACCEPT'],
      ['-D', 'INPUT', '-i', bridge, '-j', `PORTHOLE-IN-${chain}`],
    ]
    const targets = [...world.closed, ...(await world.hostTargets())]
    for (const [at, one] of harm.entries()) {
      // Each of the two is the first to go in half of the cases.
      const [first, second] = at % 2 === 0 ? places : places.toReversed()
      assert.ok(first && second)
      await table('-t', first, ...one)
      await world.assertRefused(container, targets)
      await table('-t', second, ...one)
      const outcomes = Object.values(await world.attempts(container, targets))
      assert.ok(outcomes.includes('open'), `${one.join(' ')} opens nothing`)
      await world.firewall.cover({ id, bridge, egress: 'internet' })
      await world.assertRefused(container, targets)
    }
  })

  test("an earlier version's rules are taken off Docker's chain by an agent that starts", async () => {
    const fence = await world.fenceOf('internet')
    const chain = `PORTHOLE-FWD-${fence.id.slice(0, 12)}`
    const gone = randomBytes(6).toString('hex')
    await table('-D', 'FORWARD', '-i', fence.bridge, '-j', chain)
    await table('-I', 'DOCKER-USER', '1', '-i', fence.bridge, '-j', chain)
    await table('-N', `PORTHOLE-FWD-${gone}`)
    await table('-A', `PORTHOLE-FWD-${gone}`, '-j', 'REJECT')
    await table('-I', 'DOCKER-USER', '1', '-i', `br-${gone}`, '-j', `PORTHOLE-FWD-${gone}`)
    const dockers = async () =>
      (await table('-S', 'DOCKER-USER')).split('\n').filter(line => !line.includes('PORTHOLE'))
    const before = await dockers()
    await world.newFirewall().cover(fence)
    const traces = await tracesOf(fence.id)
    assert.deepEqual(
      traces.filter(line => line.startsWith('ipv4') && line.endsWith(`-j ${chain}`)),
      ['filter', 'security'].map(name => `ipv4 ${name} -A FORWARD -i ${fence.bridge} -j ${chain}`),
    )
    assert.deepEqual(await tracesOf(gone), [])
    assert.deepEqual(await dockers(), before)
    await world.assertRefused(container, world.closed)
  })

  test('with a network go its rules at the next look, whoever made them', async () => {
    const network = await world.engine.ensureNetwork(`${world.network}-brief`, networkLabels)
    await world.newFirewall().cover({ ...network, egress: 'internet' })
    const isIn = new Set((await tracesOf(network.id)).map(line => line.split(' ', 2).join(' ')))
    assert.deepEqual([...isIn].sort(), ['ipv4 filter', 'ipv4 security', 'ipv6 filter', 'ipv6 security'])
    // While the network is there they are another agent's to remove.
    await lookOnce(world.firewall, world.fenced.fences)
    assert.notDeepEqual(await tracesOf(network.id), [])
    await world.docker.getNetwork(network.id).remove()
    await lookOnce(world.firewall, world.fenced.fences)
    assert.deepEqual(await tracesOf(network.id), [])
  })

  test('an agent looks again every few seconds, by itself', async () => {
    const fence = await world.fenceOf('internet')
    const whole = await tracesOf(fence.id)
    const stop = new AbortController()
    let looks = 0
    const running = world.firewall.run(() => {
      looks++
      return world.fenced.fences()
    }, stop.signal)
    try {
      // Not the first look, which comes at once: what is asked for meanwhile is done after it.
      await eventually(() => assert.equal(looks, 1))
      await world.firewall.cover(fence)
      for (const place of places) await table('-t', place, '-F', `PORTHOLE-FWD-${fence.id.slice(0, 12)}`)
      assert.notDeepEqual(await tracesOf(fence.id), whole)
      await eventually(async () => assert.deepEqual(await tracesOf(fence.id), whole), 10_000)
      assert.equal(looks, 2)
    } finally {
      stop.abort()
      await running
    }
  })
})
