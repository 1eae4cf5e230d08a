import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { after, before, describe, it } from 'node:test'
import { chromium } from 'playwright-core'
import { runIn } from '../../agent/src/testing/inside.ts'
import { identify } from '../../infra/dev/process-identity.ts'
import { system } from '../../infra/hosts/system.ts'
import { pageOf, type Runtime } from '../kit/runtime.ts'
import { type Lab, type LabHost, labTimeout, noLab, startLab } from './kit.ts'

/** Tries to connect to each of [host, port], and tells how that ended. */
const connector = `
  const attempt = ([host, port]) => new Promise(resolve => {
    const socket = require('node:net').connect({ host, port, timeout: 3000 })
    const end = outcome => { socket.destroy(); resolve(outcome) }
    socket.on('connect', () => end('open')).on('error', e => end(e.code)).on('timeout', () => end('timeout'))
  })
  Promise.all(JSON.parse(process.argv[1]).map(attempt)).then(outcomes => console.log(JSON.stringify(outcomes)))`

const placeIn = (url: string): [string, number] => [new URL(url).hostname, Number(new URL(url).port)]

describe('three hosts and two gateways', { skip: noLab(), concurrency: false }, () => {
  let lab: Lab
  const runtimes: Runtime[] = []

  before(
    async () => {
      lab = await startLab()
    },
    { timeout: labTimeout },
  )
  after(() => lab?.close(), { timeout: 120_000 })

  const containersOn = ({ docker }: LabHost) =>
    docker.listContainers({ filters: { name: [lab.names.containerPrefix] } })

  it('all join, each at its own address and with its own engine', async () => {
    const answer = await lab.call('GET', '/v1/hosts', undefined, { token: lab.adminToken })
    const { items } = (await answer.json()) as { items: { id: string; name: string; url: string; state: string }[] }
    const byId = <T extends { id: string }>(list: T[]) => list.toSorted((a, b) => a.id.localeCompare(b.id))
    assert.deepEqual(
      byId(items).map(({ id, name, url }) => ({ id, name, url })),
      byId(lab.hosts).map(({ id, name, address, agent }) => {
        assert.equal(new URL(agent().url).hostname, address)
        return { id, name, url: agent().url }
      }),
    )
    assert.equal(new Set(lab.hosts.map(({ address }) => address)).size, 3)
    const stores = await Promise.all(lab.hosts.map(async ({ docker }) => String((await docker.info()).DockerRootDir)))
    assert.equal(new Set(stores).size, 3)
  })

  it("six owners' runtimes are spread over them, whichever gateway is asked", async () => {
    // One after the other: placements at the same moment see the same loads.
    for (const [n, userId] of ['ada', 'bea', 'cleo', 'dora', 'eva', 'fay'].entries()) {
      const gatewayUrl = lab.gateways[n % 2]?.url ?? ''
      const answer = await lab.call('POST', '/v1/runtimes', { userId, wait: 60 }, { gatewayUrl })
      const text = await answer.text()
      assert.equal(answer.status, 201, text)
      runtimes.push(JSON.parse(text) as Runtime)
    }
    for (const host of lab.hosts) {
      const placed = runtimes.filter(runtime => runtime.host === host.id)
      assert.equal(placed.length, 2, `${host.name} has ${placed.length}`)
      const names = (await containersOn(host)).flatMap(({ Names }) => Names)
      assert.deepEqual(names.sort(), placed.map(({ ownerHash }) => `/${lab.names.containerPrefix}${ownerHash}`).sort())
    }
  })

  it('each runtime is driven through either gateway', async () => {
    for (const gateway of lab.gateways) {
      for (const { owner, ownerHash } of runtimes) {
        const browser = await chromium.connectOverCDP(`${gateway.url}/cdp/${ownerHash}`, {
          headers: { authorization: `Bearer ${lab.tenantToken}` },
        })
        try {
          const page = await browser.contexts()[0]?.newPage()
          await page?.goto(pageOf(`<title>${owner}</title>`))
          assert.equal(await page?.title(), owner)
          await page?.close()
        } finally {
          await browser.close()
        }
      }
    }
  })

  it("a host reaches another host's agent, and its containers do not, nor the gateway", async () => {
    const [one, two] = lab.hosts
    assert(one && two)
    const targets = JSON.stringify([
      placeIn(two.agent().url),
      placeIn(one.agent().url),
      placeIn(lab.gateways[0]?.url ?? ''),
    ])
    const fromHost = await one.run(process.execPath, ['-e', connector, targets])
    assert.deepEqual(JSON.parse(fromHost), ['open', 'open', 'open'])
    for (const { Id } of await containersOn(one)) {
      const { output } = await runIn(one.docker, Id, ['/usr/local/bin/node', '-e', connector, targets])
      for (const outcome of JSON.parse(output))
        assert.match(outcome, /^(EHOSTUNREACH|ECONNREFUSED|EACCES|ETIMEDOUT|timeout)$/)
    }
  })

  it('a host that is cut off is not reached, and is again once that is healed', async () => {
    const [one] = lab.hosts
    assert(one)
    const ask = () => fetch(lab.gateways[0]?.url ?? '', { signal: AbortSignal.timeout(2_000) })
    const gateway = JSON.stringify([placeIn(lab.gateways[0]?.url ?? '')])
    const fromHost = async () => JSON.parse(await one.run(process.execPath, ['-e', connector, gateway]))[0]
    await one.cut()
    try {
      assert.match(await fromHost(), /^(EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|timeout)$/)
      assert.equal((await ask()).status < 500, true)
    } finally {
      await one.heal()
    }
    assert.equal(await fromHost(), 'open')
  })

  it('after the lab is closed nothing of it is left', async () => {
    const engines = lab.hosts.map(({ enginePid }) => enginePid())
    const parts = [...lab.gateways.map(({ process }) => process().pid), ...lab.hosts.map(({ agent }) => agent().pid)]
    const containers = await Promise.all(
      lab.hosts.map(async host =>
        Promise.all(
          (await containersOn(host)).map(async ({ Id }) => (await host.docker.getContainer(Id).inspect()).State.Pid),
        ),
      ),
    )
    const pids = [...engines, ...parts, ...containers.flat()]
    assert.equal(pids.filter(pid => identify(pid)).length, 3 + 2 + 3 + 6)
    const bridge = Object.entries(networkInterfaces()).find(([, at]) =>
      at?.some(a => a.address === lab.bridgeAddress),
    )?.[0]
    assert(bridge)
    const rules = async () =>
      (await Promise.all(['filter', 'nat'].map(table => system('iptables', ['-w', '5', '-t', table, '-S'])))).join()
    assert.match(await rules(), new RegExp(bridge))

    await lab.close()

    assert.deepEqual(
      pids.filter(pid => identify(pid)),
      [],
    )
    assert.equal(existsSync(`/sys/class/net/${bridge}`), false)
    assert.doesNotMatch(await rules(), new RegExp(bridge))
    for (const { netns, dockerHost, folder } of lab.hosts) {
      assert.equal(existsSync(`/run/netns/${netns}`), false)
      assert.equal(existsSync(dockerHost.replace('unix://', '')), false)
      assert(!readFileSync('/proc/self/mountinfo', 'utf8').includes(folder))
    }
  })
})
