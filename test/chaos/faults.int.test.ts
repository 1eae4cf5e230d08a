import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { after, before, beforeEach, describe, it } from 'node:test'
import { eventually } from '../kit/eventually.ts'
import type { Runtime } from '../kit/runtime.ts'
import { type Lab, type LabGateway, type LabHost, labTimeout, noLab, startLab } from '../lab/kit.ts'
import type { Fault } from './fault.ts'
import { chromiumIn, killChromium } from './faults/chromium.ts'
import { clockOfAgent, clockOfGateway } from './faults/clock.ts'
import { killContainer } from './faults/container.ts'
import { fullDisk } from './faults/disk.ts'
import { killEngine } from './faults/engine.ts'
import { delay, delayMs, loss, partition, reset } from './faults/network.ts'
import { killPostgres } from './faults/postgres.ts'
import { ask, type Reply } from './faults/probes.ts'
import { killAgent, killGateway } from './faults/processes.ts'
import { runningContainers } from './faults/running.ts'
import { breakable, faults } from './faults.ts'

/** Chooses the first of all that there are; of a clock: ahead. */
const first = () => 0
/** The first of two, and a clock behind. */
const firstBehind = () => {
  const numbers = [0, 0.9]
  return () => numbers.shift() ?? 0
}
const hour = 3_600_000
const owner = 'ada'

describe('every fault strikes and is mended', { skip: noLab(), concurrency: false }, () => {
  let lab: Lab
  let host: LabHost
  let other: LabHost
  let gateway: LabGateway
  let runtime: Runtime
  let made = 0

  before(
    async () => {
      lab = await startLab({ ...breakable, hosts: 2 })
      const [one, two] = lab.hosts
      const [door] = lab.gateways
      assert(one && two && door)
      host = one
      other = two
      gateway = door
      await onlyFirst(true)
    },
    { timeout: labTimeout },
  )
  after(() => lab?.close(), { timeout: 120_000 })
  beforeEach(async () => {
    runtime = await ensure(owner)
  })

  /** Mends what was struck also when `work` fails: the next test is to have a whole lab. */
  const during = async (fault: Fault, work: (what: string) => Promise<unknown>, random = first) => {
    const damage = await fault.strike(lab, random)
    try {
      await work(damage.what)
    } finally {
      await Promise.all([damage.mend(), damage.mend()])
    }
  }

  const operator = (method: string, path: string) => lab.call(method, path, undefined, { token: lab.adminToken })
  /** Whether the first host alone takes runtimes. */
  const onlyFirst = async (only: boolean) => {
    const answer = await operator('POST', `/v1/hosts/${other.id}/${only ? 'cordon' : 'uncordon'}`)
    assert.equal(answer.status, 200, await answer.text())
  }
  const ensure = async (userId: string) => {
    const answer = await lab.call('POST', '/v1/runtimes', { userId, wait: 60 })
    const text = await answer.text()
    assert(answer.status === 200 || answer.status === 201, `${answer.status} ${text}`)
    return JSON.parse(text) as Runtime
  }
  const stateOf = async ({ id }: Runtime) =>
    ((await (await lab.call('GET', `/v1/runtimes/${id}`)).json()) as Runtime).state
  const hostFacts = async () =>
    (await (await operator('GET', `/v1/hosts/${host.id}`)).json()) as {
      state: string
      lastSeenAt: string
      diskFreeBytes: number
    }
  const authorization = () => ({ authorization: `Bearer ${lab.tenantToken}` })
  /** The whole way to the browser: gateway, agent, container. */
  const browserAnswers = async (by = gateway) => {
    const answer = await ask(`${by.url}/cdp/${runtime.ownerHash}/json/version`, authorization())
    assert.equal(answer.status, 200)
    return answer
  }
  const agentAnswers = () => ask(`${host.agent().url}/healthz`)
  /** A runtime more on the first host, which shows that host, gateway and database work together. */
  const createsThere = async () => {
    made += 1
    const created = await ensure(`owner-${made}`)
    assert.equal(created.host, host.id)
    assert.equal((await lab.call('DELETE', `/v1/runtimes/${created.id}`)).status, 204)
  }
  const heartbeatsCome = async () => {
    const { lastSeenAt: before } = await hostFacts()
    await eventually(async () => assert((await hostFacts()).lastSeenAt > before), 15_000, 250)
  }

  /** Whoever answers says with it what time of day it is, by a look that may be a second old. */
  const isOff = (answers: () => Promise<Reply>, ms: number) =>
    eventually(async () => {
      const { time } = await answers()
      assert(Math.abs(time - Date.now() - ms) < 10_000, new Date(time).toISOString())
    })

  it('all of them have names of their own', () => {
    assert.equal(new Set(faults.map(({ name }) => name)).size, 13)
  })

  it('a killed gateway takes no connections, the other one does', async () => {
    await during(killGateway, async what => {
      assert.equal(what, 'gateway 1')
      await assert.rejects(ask(`${gateway.url}/healthz`), { code: 'ECONNREFUSED' })
      await browserAnswers(lab.gateways[1])
    })
    await browserAnswers()
  })

  it('a killed agent takes no connections, its containers run on', async () => {
    await during(killAgent, async () => {
      await assert.rejects(agentAnswers(), { code: 'ECONNREFUSED' })
      assert.equal((await runningContainers(lab)).length, 1)
    })
    await browserAnswers()
    assert.equal(await stateOf(runtime), 'running')
  })

  it('without Postgres a known browser is reached, and everything else is told so', async () => {
    await browserAnswers()
    await during(killPostgres, async () => {
      // More often than a gateway has connections: none of them may be lost by having failed.
      for (let n = 0; n < 25; n += 1) assert.equal((await ask(`${gateway.url}/readyz`)).status, 503)
      await browserAnswers()
    })
    await eventually(async () => assert.equal((await ask(`${gateway.url}/readyz`)).status, 200), 20_000)
    await eventually(async () => assert.equal(await stateOf(runtime), 'running'), 20_000)
  })

  it('a killed Chromium is started again within its container', async () => {
    const [one] = await runningContainers(lab)
    assert(one)
    const before = await chromiumIn(one.container)
    await during(killChromium, () => assert.rejects(browserAnswers()))
    assert.notEqual(await chromiumIn(one.container), before)
    await eventually(() => browserAnswers(), 20_000)
    assert.equal(await stateOf(runtime), 'running')
  })

  it('a killed container is known to have failed, and starts again when asked for', async () => {
    await during(killContainer, async what => assert.match(what, /^container .* on lab-/))
    await eventually(async () => assert.equal(await stateOf(runtime), 'failed'), 20_000, 250)
    assert((await ensure(owner)).generation > runtime.generation)
    await browserAnswers()
  })

  it('containers outlive a killed dockerd, and start again when asked for once the next one has stopped them', async () => {
    const [one] = await runningContainers(lab)
    const { Pid } = (await one?.container.inspect())?.State ?? {}
    await during(killEngine, async () => {
      await assert.rejects(host.docker.ping())
      assert(existsSync(`/proc/${Pid}`))
      // Nobody can say whose its address is, once the agent has seen the end of the engine's events.
      await eventually(() => assert.rejects(browserAnswers(), /503 !== 200/))
    })
    await host.docker.ping()
    await eventually(async () => {
      await ensure(owner)
      await browserAnswers()
    }, 30_000)
  })

  it('nothing comes through a partition', async () => {
    await during(partition, () => assert.rejects(agentAnswers(), /abort|EHOSTUNREACH|ETIMEDOUT/))
    await eventually(() => browserAnswers(), 15_000)
  })

  it('a delay makes every round trip longer, and heartbeats come all the same', async () => {
    await during(delay, async () => {
      for (const { ms } of [await agentAnswers(), await browserAnswers()]) assert(ms >= delayMs, `${ms} ms`)
      await heartbeatsCome()
    })
    await eventually(async () => assert((await agentAnswers()).ms < delayMs))
    await browserAnswers()
  })

  it('where packets are lost every request is answered all the same', async () => {
    await during(loss, async () => {
      await eventually(async () => {
        assert.equal((await agentAnswers()).status, 200)
        assert((await host.countLost()) > 0)
      }, 30_000)
      await browserAnswers()
    })
    assert.equal(await host.countLost(), 0)
  })

  it('a reset ends the connections that stand', async () => {
    const { hostname, port } = new URL(host.agent().url)
    const socket = connect({ host: hostname, port: Number(port) })
    await once(socket, 'connect')
    const ended = once(socket, 'error', { signal: AbortSignal.timeout(5_000) })
    await during(reset, async () => {
      const [error] = await ended
      assert.match(String(error), /ECONNABORTED|ECONNRESET/)
    })
    await browserAnswers()
  })

  it('a host with a full disk gets no more runtimes, keeps those it has, and gets some again later', async () => {
    const volume = 'pt-faults-too-much'
    await during(fullDisk, async () => {
      await assert.rejects(host.docker.createVolume({ Name: volume }), /no space left on device/)
      // Before the gateways know: the host refuses by itself.
      const refused = await lab.call('POST', '/v1/runtimes', { userId: 'no-room', wait: 1 })
      assert.equal(refused.status, 503)
      assert.match(await refused.text(), /disk is full/)
      await eventually(async () => assert((await hostFacts()).diskFreeBytes < 2 ** 20), 15_000, 250)
      await browserAnswers()
      await onlyFirst(false)
      const elsewhere = await ensure('elsewhere')
      await onlyFirst(true)
      assert.equal(elsewhere.host, other.id)
    })
    await eventually(async () => assert((await hostFacts()).diskFreeBytes > 2 ** 30), 15_000, 250)
    await createsThere()
  })

  it("an agent's wrong clock takes nothing away, nor does starting with it", async () => {
    await during(clockOfAgent, async () => {
      await isOff(agentAnswers, hour)
      await heartbeatsCome()
      await browserAnswers()
    })
    await isOff(agentAnswers, 0)
    await during(
      clockOfAgent,
      async () => {
        await host.restartAgent()
        await isOff(agentAnswers, -hour)
        await heartbeatsCome()
        await createsThere()
        await browserAnswers()
      },
      firstBehind(),
    )
    await browserAnswers()
  })

  it("a gateway's wrong clock neither locks anybody out nor lets anybody in", async () => {
    const shortLived = async () => {
      const wanted = { scopes: ['runtimes:read'], subject: 'short', ttl: 2 }
      const answer = await lab.call('POST', '/v1/tokens', wanted, { gatewayUrl: lab.gateways[1]?.url ?? '' })
      assert.equal(answer.status, 201)
      return ((await answer.json()) as { token: string }).token
    }
    const statusWith = async (token: string) => (await lab.call('GET', '/v1/runtimes', undefined, { token })).status
    const judgesRightly = async (aheadMs: number) => {
      await isOff(() => ask(`${gateway.url}/healthz`), aheadMs)
      const token = await shortLived()
      assert.equal(await statusWith(token), 200)
      await eventually(async () => assert.equal(await statusWith(token), 401), 5_000)
      await createsThere()
      await browserAnswers()
    }
    await during(clockOfGateway, () => judgesRightly(hour))
    await during(
      clockOfGateway,
      async () => {
        await gateway.restart()
        await judgesRightly(-hour)
      },
      firstBehind(),
    )
  })
})
