import { type Candidate, canTake, type Demand, scoreOf } from './score.ts'

/** Hosts that are compared for one placement. */
export const choices = 24
/** Hosts that are looked at each time; what a longer search has found is remembered for the next who ask for the same. */
const shortSearch = 500
/**
 * Scores that differ by less are as good as equal: among such hosts chance decides, so that gateways which know the same do not
 * all go to the same host.
 */
const nearly = 0.01

type Random = () => number

const greatestCommonDivisor = (a: number, b: number): number => (b === 0 ? a : greatestCommonDivisor(b, a % b))

/** The numbers below `count`, each once, in an order of chance: steps of one length, round and round. */
export function* inAnyOrder(count: number, random: Random): Generator<number> {
  if (count === 0) return
  let step = 1 + Math.floor(random() * count)
  while (greatestCommonDivisor(step, count) > 1) step = (step % count) + 1
  let at = Math.floor(random() * count)
  for (let n = 0; n < count; n += 1) {
    yield at
    at = (at + step) % count
  }
}

/** Has what the demand would rather have: its image there already, and no GPUs that others need. */
const isPreferred = (host: Candidate, need: Demand): boolean =>
  (need.image === undefined || host.images.includes(need.image)) && (need.gpus > 0 || host.gpus === 0)

/** Some that can take it, of chance; the better ones first. Few are found although they are rare. */
const sample = (hosts: readonly Candidate[], need: Demand, isOpen: (id: string) => boolean, random: Random) => {
  const preferred: Candidate[] = []
  const others: Candidate[] = []
  let looked = 0
  for (const n of inAnyOrder(hosts.length, random)) {
    if (preferred.length === choices) break
    looked += 1
    const host = hosts[n]
    if (!host || !canTake(host, need) || !isOpen(host.id)) continue
    if (isPreferred(host, need)) preferred.push(host)
    else if (others.length < choices) others.push(host)
  }
  return { found: [...preferred, ...others], looked }
}

/** The best of all: to pack, any other would open a host that could stay empty. */
const best = (hosts: readonly Candidate[], need: Demand, isOpen: (id: string) => boolean): Candidate[] => {
  const top: { host: Candidate; score: number }[] = []
  for (const host of hosts) {
    if (!canTake(host, need)) continue
    const score = scoreOf(host, need)
    const last = top.at(-1)
    if (top.length === choices && last && score <= last.score) continue
    if (!isOpen(host.id)) continue
    if (top.length === choices) top.pop()
    const at = top.findIndex(one => one.score < score)
    top.splice(at < 0 ? top.length : at, 0, { host, score })
  }
  return top.map(({ host }) => host)
}

/** Chooses among the hosts of one reading after the other. */
export type Chooser = {
  /**
   * Hosts that can take it, the best first.
   *
   * @param isOpen whether a host may be chosen at all
   */
  choose(hosts: readonly Candidate[], need: Demand, isOpen: (id: string) => boolean): Candidate[]
}

/** Demands whose hosts are remembered. */
const mostKept = 50

export const createChooser = (random: Random = Math.random): Chooser => {
  /** Of the newest reading. To pack, what is placed since only makes the best ones better, until they are full. */
  let kept = new Map<string, Candidate[]>()
  let keptOf: readonly Candidate[] | undefined

  const find = (hosts: readonly Candidate[], need: Demand, isOpen: (id: string) => boolean): Candidate[] => {
    if (keptOf !== hosts || kept.size > mostKept) kept = new Map()
    keptOf = hosts
    const key = JSON.stringify(need)
    const left = (kept.get(key) ?? []).filter(host => canTake(host, need) && isOpen(host.id))
    if (left.length > 0) return left
    const { found, looked } =
      need.policy === 'pack'
        ? { found: best(hosts, need, isOpen), looked: Number.POSITIVE_INFINITY }
        : sample(hosts, need, isOpen, random)
    if (looked > shortSearch) kept.set(key, found)
    return found
  }

  return {
    choose: (hosts, need, isOpen) =>
      find(hosts, need, isOpen)
        .map(host => ({ host, score: scoreOf(host, need) + random() * nearly }))
        .toSorted((a, b) => b.score - a.score)
        .map(({ host }) => host),
  }
}
