import { type Chain, networkOfChain, type Wanted } from './rules.ts'

export type TableName = 'filter' | 'security' | 'mangle'

/** @property chains chain → its rules as `iptables -S` writes them, `-A` included */
export type Table = { name: TableName; chains: ReadonlyMap<string, readonly string[]> }

/** Reads what `iptables -S` says of a table. */
export const parseTable = (name: TableName, listing: string): Table => {
  const chains = new Map<string, string[]>()
  for (const line of listing.split('\n')) {
    const [, verb, chain] = /^-([PNA]) (\S+)/.exec(line) ?? []
    if (verb === undefined || chain === undefined) continue
    const rules = chains.get(chain) ?? []
    if (verb === 'A') rules.push(line)
    chains.set(chain, rules)
  }
  return { name, chains }
}

/** @property fenced what the script sets up or puts back */
export type Plan = { script: string; fenced: readonly Wanted[] }

/**
 * What makes a table as wanted, in the words of `iptables-restore --noflush`, which does all of it in one step: there
 * is no moment without rules. Undefined when nothing is to be done.
 * @param isAsMade whether a chain that is there holds what an earlier plan made of the same rules
 * @param hasInterface whether this machine has a network interface of that name
 */
export const planOf = (
  table: Table,
  wanted: readonly Wanted[],
  isAsMade: (chain: Chain, present: readonly string[]) => boolean,
  hasInterface: (name: string) => boolean,
): Plan | undefined => {
  const fences = wanted.map(one => ({
    one,
    lines: [
      ...placed(table, one.forward, 'FORWARD', one.bridge, isAsMade),
      ...placed(table, one.input, 'INPUT', one.bridge, isAsMade),
    ],
  }))
  const lines = [...fences.flatMap(fence => fence.lines), ...leftovers(table, wanted, hasInterface)]
  if (lines.length === 0) return undefined
  return {
    script: [`*${table.name}`, ...lines, 'COMMIT', ''].join('\n'),
    fenced: fences.flatMap(fence => (fence.lines.length > 0 ? [fence.one] : [])),
  }
}

const placed = (
  table: Table,
  chain: Chain,
  parent: 'FORWARD' | 'INPUT',
  bridge: string,
  isAsMade: (chain: Chain, present: readonly string[]) => boolean,
): string[] => {
  const jump = `-A ${parent} -i ${bridge} -j ${chain.name}`
  const jumps = jumpsTo(table, chain.name)
  const present = table.chains.get(chain.name)
  const isLed = jumps.length === 1 && jumps[0] === jump && isFirst(table, parent, jump)
  if (isLed && present !== undefined && isAsMade(chain, present)) return []
  return [
    // Makes the chain, or empties it. An earlier version's jump to it, from DOCKER-USER, goes with the others.
    `:${chain.name} - [0:0]`,
    ...chain.rules.map(rule => `-A ${chain.name} ${rule}`),
    ...jumps.map(asDelete),
    `-I ${parent} 1 -i ${bridge} -j ${chain.name}`,
  ]
}

/**
 * Before every rule that is not an agent's: one that accepts would let packets past, one that drops would leave them
 * without an answer.
 */
const isFirst = (table: Table, parent: string, jump: string): boolean => {
  const rules = table.chains.get(parent) ?? []
  return rules.slice(0, rules.indexOf(jump)).every(rule => networkOfChain(targetOf(rule)) !== undefined)
}

/** Chains of networks that are gone from this machine. Another agent's networks are there, and so are left alone. */
const leftovers = (table: Table, wanted: readonly Wanted[], hasInterface: (name: string) => boolean): string[] => {
  const ours = new Set(wanted.flatMap(({ forward, input }) => [forward.name, input.name]))
  return [...table.chains.keys()].flatMap(chain => {
    const network = networkOfChain(chain)
    if (network === undefined || ours.has(chain)) return []
    const jumps = jumpsTo(table, chain)
    const bridges = [`br-${network}`, ...jumps.map(jump => /-i (\S+)/.exec(jump)?.[1] ?? '')]
    return bridges.some(hasInterface) ? [] : [...jumps.map(asDelete), `-F ${chain}`, `-X ${chain}`]
  })
}

const jumpsTo = (table: Table, chain: string): string[] =>
  [...table.chains.values()].flatMap(rules => rules.filter(rule => targetOf(rule) === chain))

const targetOf = (rule: string): string => / -j (\S+)/.exec(rule)?.[1] ?? ''

const asDelete = (rule: string): string => rule.replace(/^-A/, '-D')
