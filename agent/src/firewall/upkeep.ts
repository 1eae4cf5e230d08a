import type { Logger } from 'pino'
import { FirewallFailed, FirewallUnavailable, type Tables } from './iptables.ts'
import { parseTable, planOf, type Table } from './plan.ts'
import { type Chain, type Family, type Fence, families, type Refusal, rulesOf, type Wanted } from './rules.ts'

/** A table that somebody else changes between our look at it and our change. */
const mostTries = 3

export type UpkeepDependencies = {
  tables: Tables
  /** Whether this machine has a network interface of that name. */
  hasInterface: (name: string) => boolean
  log: Logger
}

/** Makes this machine's tables hold the fences' rules and no network's that is gone; several calls must not overlap. */
export type Upkeep = (fences: readonly Fence[], nameservers: readonly string[]) => Promise<void>

/**
 * Every fence is in two tables. What holds is in one that neither Docker nor a firewall's front end touches: a packet
 * dropped there is gone, whatever the filter table says. But only rules in the filter table may answer, so the same
 * rules are there too. Docker puts its own before them whenever it makes a network; what slips through then is dropped.
 */
export const createUpkeep = ({ tables, hasInterface, log }: UpkeepDependencies): Upkeep => {
  /** Table and chain → the rules it was made of, and how the table shows them. */
  const made = new Map<string, { rules: string; shown: string }>()

  const keep = async (
    family: Family,
    look: () => Promise<Table>,
    wanted: readonly Wanted[],
    refusal: Refusal,
  ): Promise<void> => {
    let table = await look()
    const key = ({ name }: Chain) => `${family} ${table.name} ${name}`
    const isAsMade = (chain: Chain, present: readonly string[]): boolean => {
      const record = made.get(key(chain))
      return record?.rules === chain.rules.join('\n') && record.shown === present.join('\n')
    }
    for (let tries = 1; ; tries++) {
      const plan = planOf(table, wanted, isAsMade, hasInterface)
      if (plan === undefined) return
      if (tries > mostTries) {
        // Docker makes one network after another: the place of what only answers is put right at the next check.
        if (refusal === 'answer') return
        throw new FirewallFailed(`somebody else goes on changing the ${table.name} table`)
      }
      try {
        await tables.restore(family, plan.script)
      } catch (error) {
        if (tries === mostTries || error instanceof FirewallUnavailable) throw error
        table = await look()
        continue
      }
      for (const { bridge, forward } of plan.fenced) {
        const isRepair = made.has(key(forward))
        const message = isRepair ? 'firewall rules put back' : 'firewall rules set'
        // What only answers loses its place to every network that Docker makes.
        log[isRepair && refusal === 'drop' ? 'warn' : 'info']({ family, table: table.name, bridge }, message)
      }
      table = await look()
      // How a table shows a rule depends on the program's version: what it shows right after is what it must go on showing.
      for (const chain of wanted.flatMap(({ forward, input }) => [forward, input])) {
        const shown = table.chains.get(chain.name) ?? []
        if (shown.length !== chain.rules.length)
          throw new FirewallFailed(`${chain.name} does not hold what was put into it`)
        made.set(key(chain), { rules: chain.rules.join('\n'), shown: shown.join('\n') })
      }
    }
  }

  /**
   * Packets come to the security table after the filter table has had its chance to answer. A kernel without it has the
   * mangle table, which comes before: that holds as well, and refused connections hang until they time out.
   */
  const lookAtHolding = async (family: Family): Promise<Table> => {
    try {
      return parseTable('security', await tables.read(family, 'security'))
    } catch (error) {
      if (!(error instanceof FirewallUnavailable)) throw error
      return parseTable('mangle', await tables.read(family, 'mangle'))
    }
  }
  const lookAtAnswering = async (family: Family): Promise<Table> =>
    parseTable('filter', await tables.read(family, 'filter'))

  return async (fences, nameservers) => {
    const faults: unknown[] = []
    for (const family of families) {
      for (const [refusal, look] of [
        ['drop', lookAtHolding],
        ['answer', lookAtAnswering],
      ] as const) {
        const wanted = fences.map(fence => rulesOf(fence, family, nameservers, refusal))
        // One that fails keeps none of the others from being tried.
        await keep(family, () => look(family), wanted, refusal).catch(error => faults.push(error))
      }
    }
    if (faults.length > 0) throw faults[0]
  }
}
