import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { RuntimeFacts } from '@porthole/protocol'
import { answerAsAgents } from './agents.ts'
import { collectTimes, type Times } from './figures.ts'
import { hostIdOf, seededHash, seededId } from './fleet.ts'
import { type SimulatedHost, simulateHost } from './host.ts'
import { servePart } from './part.ts'
import { openWire, type Wire } from './wire.ts'

// The hosts, in a process of their own: real heartbeats over real connections, one for each host, and agents that start
// what they are told to.

export type FleetQuestion = {
  hosts: number
  /** The gateways' ports; host n beats at the n-th, in turn. */
  ports: number[]
  /** As `seedRuntimes` dealt them out. */
  runtimes: number
  /** Milliseconds between two heartbeats of a host. */
  everyMs: number
  tokenMs: number
}

export type FleetReport = {
  sent: number
  accepted: number
  /** Answered with something else than 200. */
  refused: number
  /** Not answered. */
  failed: number
  /** How often, by what it was. */
  reasons: Record<string, number>
  p50: number
  p99: number
}

type Beating = { host: SimulatedHost; wire: Wire; isSilent: boolean; isAsking: boolean; acceptedAt: number }

const tickMs = 10
const joinsPerSecond = 400
/** As the agent's. */
const tryMs = 5000

const hosts = new Map<string, Beating>()
let figures = emptyFigures()
let timer: NodeJS.Timeout | undefined

type Figures = Pick<FleetReport, 'sent' | 'refused' | 'failed' | 'reasons'> & { times: Times }

function emptyFigures(): Figures {
  return { times: collectTimes(), sent: 0, refused: 0, failed: 0, reasons: {} }
}

const note = (figures: Figures, reason: string) => {
  figures.reasons[reason] = (figures.reasons[reason] ?? 0) + 1
}

/** Of 64: no address has more connections than a gateway lets one have. */
const addressOf = (n: number) => `127.0.1.${1 + (n % 64)}`

const seededOn = (n: number, { hosts: count, runtimes }: FleetQuestion): RuntimeFacts[] => {
  const facts: RuntimeFacts[] = []
  for (let k = n; k < runtimes; k += count)
    facts.push({ id: seededId(k), generation: 1, ownerHash: seededHash(k), state: 'running' })
  return facts
}

const beat = async (beating: Beating) => {
  // The one before has not been answered: as the agent, which beats again after its answer only.
  if (beating.isSilent || beating.isAsking) return
  const mine = figures
  mine.sent += 1
  beating.isAsking = true
  const startedAt = performance.now()
  try {
    const { status } = await beating.wire.ask(beating.host.heartbeat(Date.now()), tryMs)
    mine.times.add(performance.now() - startedAt)
    if (status === 200) {
      beating.host.accepted(Date.now())
      beating.acceptedAt = Date.now()
    } else {
      mine.refused += 1
      note(mine, String(status))
    }
  } catch (error) {
    mine.failed += 1
    note(mine, error instanceof Error ? error.message : String(error))
  } finally {
    beating.isAsking = false
  }
}

/** Spreads the hosts over the time between two heartbeats. They come one after the other: a fleet does not join in a second. */
const run = (everyMs: number) => {
  const slots: Beating[][] = Array.from({ length: Math.max(1, Math.round(everyMs / tickMs)) }, () => [])
  const all = [...hosts.values()]
  const startedAt = performance.now()
  let tick = 0
  let joined = 0
  timer = setInterval(() => {
    const elapsed = performance.now() - startedAt
    for (const due = (elapsed / 1000) * joinsPerSecond; joined < Math.min(due, all.length); joined += 1) {
      const beating = all[joined]
      if (beating) slots[Math.floor(Math.random() * slots.length)]?.push(beating)
    }
    for (const due = Math.floor(elapsed / tickMs); tick < due; tick += 1)
      for (const beating of slots[tick % slots.length] ?? []) void beat(beating)
  }, tickMs)
}

const stop = () => {
  clearInterval(timer)
  for (const { wire } of hosts.values()) wire.close()
  hosts.clear()
}

const agents = createServer(answerAsAgents(id => hosts.get(id)?.host))
agents.keepAliveTimeout = 65_000

servePart(
  {
    /** @returns where all agents are */
    listen: () =>
      new Promise<string>(resolve =>
        agents.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(agents.address() as AddressInfo).port}`)),
      ),
    beat: (question: FleetQuestion) => {
      stop()
      for (let n = 0; n < question.hosts; n += 1) {
        const host = simulateHost(n, seededOn(n, question), question)
        const port = question.ports[n % question.ports.length]
        if (port === undefined) throw new Error('there is no gateway to beat at')
        hosts.set(host.id, {
          host,
          wire: openWire(port, addressOf(n)),
          isSilent: false,
          isAsking: false,
          acceptedAt: 0,
        })
      }
      figures = emptyFigures()
      run(question.everyMs)
    },
    /** What has happened since the last report. */
    report: (): FleetReport => {
      const { times, ...counts } = figures
      figures = emptyFigures()
      return {
        ...counts,
        accepted: times.count - counts.refused,
        p50: times.quantile(0.5),
        p99: times.quantile(0.99),
      }
    },
    /** @returns when the gateway last heard of it, in milliseconds since the epoch */
    silence: (n: number): number => {
      const beating = hosts.get(hostIdOf(n))
      if (!beating) throw new Error(`there is no host ${n}`)
      beating.isSilent = true
      return beating.acceptedAt
    },
    stop,
  },
  async () => {
    stop()
    agents.closeAllConnections()
    agents.close()
  },
)
