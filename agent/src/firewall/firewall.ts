import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import { AgentError } from '../problems.ts'
import { FirewallFailed, FirewallUnavailable, type Tables } from './iptables.ts'
import { parseTable, planOf, type Table } from './plan.ts'
import { type Chain, type Family, type Fence, families, rulesOf, type Wanted } from './rules.ts'

/** Milliseconds between two looks at the rules: whoever flushed them opened the host for no longer. */
const checkMs = 5000
/** A table that somebody else changes between our look at it and our change. */
const mostTries = 3

/** The fences of this machine's networks, kept as they should be. */
export type Firewall = {
  /**
   * Resolves once the rules of a network are in place, so that a container may be started on it.
   * @throws AgentError when they should be and are not; where they can't be, `best-effort` warns once and goes on
   */
  cover(fence: Fence): Promise<void>
  /** Puts back what is missing, every few seconds until aborted, for these fences or else for those of the last time. */
  run(fences: () => Promise<readonly Fence[]>, signal: AbortSignal): Promise<void>
}

export type FirewallDependencies = {
  mode: Config['firewall']
  tables: Tables
  nameservers: () => Promise<readonly string[]>
  /** Whether this machine has a network interface of that name. */
  hasInterface: (name: string) => boolean
  log: Logger
}

export const createFirewall = (deps: FirewallDependencies): Firewall => {
  const { mode, tables, nameservers, hasInterface, log } = deps
  const fences = new Map<string, Fence>()
  /** Chain → the rules it was made of, and how the table shows them. */
  const made = new Map<string, { rules: string; shown: string }>()
  let running: Promise<void> = Promise.resolve()
  let waiting: Promise<void> | undefined
  let told: string | undefined

  /** One at a time; who comes while one runs shares the next with everybody else who does. */
  const sync = (): Promise<void> => {
    waiting ??= running.then(() => {
      waiting = undefined
      const now = syncAll()
      running = now.catch(() => undefined)
      return now
    })
    return waiting
  }

  const syncAll = async (): Promise<void> => {
    const here = [...fences.values()].filter(({ bridge }) => hasInterface(bridge))
    const servers = await nameservers()
    const outcomes: PromiseSettledResult<void>[] = []
    for (const family of families) {
      const wanted = here.map(fence => rulesOf(fence, family, servers))
      outcomes.push(...(await Promise.allSettled([syncFamily(family, wanted)])))
    }
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
    if (here.length < fences.size) {
      throw new FirewallUnavailable(
        "the engine's bridge is not on this machine (an engine in a virtual machine, without root, or in another network namespace)",
      )
    }
  }

  const syncFamily = async (family: Family, wanted: readonly Wanted[]): Promise<void> => {
    for (let tries = 1; ; tries++) {
      const table = parseTable(await tables.read(family))
      const plan = planOf(table, wanted, (chain, present) => isAsMade(family, chain, present), hasInterface)
      if (plan === undefined) return
      try {
        await tables.restore(family, plan.script)
      } catch (error) {
        if (tries === mostTries || error instanceof FirewallUnavailable) throw error
        continue
      }
      for (const { bridge, forward } of plan.fenced) {
        const isRepair = made.has(keyOf(family, forward))
        log[isRepair ? 'warn' : 'info']({ family, bridge }, isRepair ? 'firewall rules put back' : 'firewall rules set')
      }
      remember(family, wanted, parseTable(await tables.read(family)))
    }
  }

  const isAsMade = (family: Family, chain: Chain, present: readonly string[]): boolean => {
    const record = made.get(keyOf(family, chain))
    return record?.rules === chain.rules.join('\n') && record.shown === present.join('\n')
  }

  /** How a table shows a rule depends on the program's version: what it shows right after is what it must go on showing. */
  const remember = (family: Family, wanted: readonly Wanted[], table: Table): void => {
    for (const chain of wanted.flatMap(({ forward, input }) => [forward, input])) {
      const shown = table.get(chain.name) ?? []
      if (shown.length !== chain.rules.length)
        throw new FirewallFailed(`${chain.name} does not hold what was put into it`)
      made.set(keyOf(family, chain), { rules: chain.rules.join('\n'), shown: shown.join('\n') })
    }
  }

  const tell = (error: unknown): void => {
    const why = error instanceof Error ? error.message : String(error)
    if (why !== told) {
      log.warn(
        { reason: why },
        'containers are NOT kept from private networks, cloud metadata and this host: run the agent as root with iptables beside its engine, or set PORTHOLE_FIREWALL=off to accept this',
      )
    }
    told = why
  }

  const cover = async (fence: Fence): Promise<void> => {
    if (mode === 'off') return
    fences.set(fence.id, fence)
    try {
      await sync()
      told = undefined
    } catch (error) {
      if (!(error instanceof FirewallUnavailable) || mode === 'required') throw notNow(error)
      tell(error)
    }
  }

  const check = async (current: () => Promise<readonly Fence[]>): Promise<void> => {
    try {
      const before = [...fences.keys()]
      const found = await current()
      // Not those that came in between: their start relies on them.
      for (const id of before) fences.delete(id)
      for (const fence of found) fences.set(fence.id, fence)
    } catch {
      // The engine does not answer, which is told elsewhere: what was there is still fenced.
    }
    try {
      await sync()
      told = undefined
    } catch (error) {
      tell(error)
    }
  }

  return {
    cover,
    run: async (current, signal) => {
      while (mode !== 'off' && !signal.aborted) {
        await check(current)
        await sleep(checkMs, undefined, { signal }).catch(() => undefined)
      }
    },
  }
}

const keyOf = (family: Family, { name }: Pick<Chain, 'name'>): string => `${family} ${name}`

const notNow = (cause: unknown): AgentError =>
  new AgentError(
    'engine-unavailable',
    { detail: "the host's firewall could not be set up for this runtime" },
    { cause },
  )
