import { z } from 'zod'

/** An IPv4 range as two numbers, both inclusive. */
type Range = { first: number; last: number }

const routes = z.array(z.object({ dst: z.string() }))

/** The ranges that this machine has routes to, from `ip -json -4 route show table all`; not the default route's. */
export const routedRanges = (json: string): string[] =>
  routes
    .parse(JSON.parse(json || '[]'))
    .map(({ dst }) => dst)
    .filter(dst => dst !== 'default' && dst !== '0.0.0.0/0')

/** The first candidate that shares no address with what is taken; undefined when all do. */
export const freeRange = (candidates: readonly string[], taken: readonly string[]): string | undefined => {
  const used = taken.map(rangeOf)
  return candidates.find(candidate => {
    const { first, last } = rangeOf(candidate)
    return used.every(other => last < other.first || other.last < first)
  })
}

/** `10.213.x.0/24`, each x once, beginning with one that the mark gives: another installation begins elsewhere. */
export const hostRanges = (mark: string): string[] => {
  const start = Number.parseInt(mark.slice(-2), 16)
  return Array.from({ length: 256 }, (_, n) => `10.213.${(start + n) % 256}.0/24`)
}

/** Where engines take their networks from. Each is alone in its namespace, so all take the same. */
export const engineRanges: readonly string[] = Array.from({ length: 40 }, (_, n) => `10.${214 + n}.0.0/16`)

/** The n-th address of a range that ends in .0. */
export const addressIn = (range: string, n: number): string => range.replace(/0\/\d+$/, String(n))

function rangeOf(text: string): Range {
  const [address = '', length = '32'] = text.split('/')
  const parts = address.split('.').map(Number)
  const value = [0, 1, 2, 3].reduce((sum, n) => sum * 256 + (parts[n] ?? 0), 0)
  const size = 2 ** (32 - Number(length))
  const first = Math.floor(value / size) * size
  return { first, last: first + size - 1 }
}
