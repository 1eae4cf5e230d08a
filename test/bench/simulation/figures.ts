/** Bins of a tenth of their time each: two decimal places of a logarithm would be finer than what repeats differ by. */
const binsPerDecade = 50

/** Times in milliseconds, in little memory. */
export type Times = {
  add(ms: number): void
  /** @param share 0.99: the time that 99 of 100 did not exceed; NaN where there are none */
  quantile(share: number): number
  readonly count: number
}

export const collectTimes = (): Times => {
  const bins: number[] = []
  let count = 0
  return {
    add: ms => {
      const bin = Math.max(0, Math.ceil(Math.log10(Math.max(ms, 0.01) / 0.01) * binsPerDecade))
      bins[bin] = (bins[bin] ?? 0) + 1
      count += 1
    },
    quantile: share => {
      let left = Math.ceil(share * count)
      for (const [bin, n = 0] of bins.entries()) {
        left -= n
        if (left <= 0 && n > 0) return 0.01 * 10 ** (bin / binsPerDecade)
      }
      return Number.NaN
    },
    get count() {
      return count
    },
  }
}

/** The middle one; the mean of both where there are two. */
export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length / 2
  const [low = Number.NaN, high = low] = Number.isInteger(half)
    ? sorted.slice(half - 1, half + 1)
    : sorted.slice(Math.floor(half), Math.floor(half) + 1)
  return (low + high) / 2
}

const round = (value: number, digits: number) => value.toFixed(digits)

/** The median with the least and the most beside it: `12.1 (11.8–13.0)`. One value stands alone. */
export const spread = (values: readonly number[], digits = 1): string => {
  const middle = round(median(values), digits)
  if (values.length < 2) return middle
  return `${middle} (${round(Math.min(...values), digits)}–${round(Math.max(...values), digits)})`
}
