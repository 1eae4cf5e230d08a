import { parseArgs } from 'node:util'

/** What the words after `npm run chaos --` ask for. */
export type ChaosRequest =
  | {
      kind: 'run'
      /** Schedules follow one another until so many seconds are over; undefined: one. */
      forSeconds: number | undefined
      /** Of the first schedule; the next has the next number. */
      seed: number
      /** Of one schedule. */
      seconds: number
      owners: number
      faults: string[]
      /** Whether browsers are kept warm; else there are fewer places than owners. */
      warm: boolean
      /** Whether the table goes into docs/RELIABILITY.md. */
      write: boolean
    }
  | { kind: 'help' }
  | { kind: 'refused'; message: string }

export const chaosUsage = (
  faults: readonly string[],
): string => `Breaks a lab of three hosts and two gateways on purpose, and checks that every promise is kept.
As root on Linux: each host has a Docker engine and a network namespace of its own.

  npm run chaos [-- options]
    --minutes N   schedules one after the other, for N minutes
    --seed N      of the first schedule; the same seed gives the same plan
    --seconds N   how long one schedule is; 60 unless told
    --owners N    how many owners ask for browsers at the same time; 4 unless told
    --faults a,b  only these
    --warm        with warm browsers, and room for all; else there are fewer places than owners
    --write       put the table into docs/RELIABILITY.md
    --help        this text

  faults: ${faults.join(', ')}`

/** The words that ask for one such schedule again. @param all names of the faults there are */
export const wordsOf = (
  { seed, seconds, owners, faults, warm }: Omit<ChaosRequest & { kind: 'run' }, 'kind' | 'forSeconds' | 'write'>,
  all: readonly string[],
): string =>
  [
    `--seed ${seed} --seconds ${seconds} --owners ${owners}`,
    ...(warm ? ['--warm'] : []),
    // Any fault that is left out changes the plan.
    ...(faults.length === all.length ? [] : [`--faults "${faults.join(',')}"`]),
  ].join(' ')

/**
 * @param faults names of those there are
 * @param newSeed for when none is given
 */
export const parseChaos = (argv: readonly string[], faults: readonly string[], newSeed: () => number): ChaosRequest => {
  const refused = (message: string): ChaosRequest => ({
    kind: 'refused',
    message: `${message}\n\n${chaosUsage(faults)}`,
  })
  const options = {
    minutes: { type: 'string' },
    seed: { type: 'string' },
    seconds: { type: 'string', default: '60' },
    owners: { type: 'string', default: '4' },
    faults: { type: 'string' },
    warm: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  } as const
  let values: ReturnType<typeof parseArgs<{ options: typeof options }>>['values']
  try {
    values = parseArgs({ args: [...argv], options, strict: true }).values
  } catch (error) {
    return refused(error instanceof Error ? error.message : String(error))
  }
  if (values.help) return { kind: 'help' }
  const { minutes, seed, seconds, owners } = values
  for (const [name, value, most] of [
    ['minutes', minutes ?? '1', 24 * 60],
    ['seconds', seconds, 3600],
    ['owners', owners, 20],
  ] as const)
    if (!/^[1-9]\d*$/.test(value) || Number(value) > most)
      return refused(`--${name} takes a whole number from 1 to ${most}, not '${value}'.`)
  if (seed !== undefined && !(/^\d+$/.test(seed) && Number(seed) < 2 ** 32))
    return refused(`--seed takes a whole number below 2^32, not '${seed}'.`)
  const chosen = values.faults?.split(',').map(name => name.trim()) ?? [...faults]
  const unknown = chosen.find(name => !faults.includes(name))
  if (unknown !== undefined) return refused(`There is no fault '${unknown}'.`)
  return {
    kind: 'run',
    forSeconds: minutes === undefined ? undefined : Number(minutes) * 60,
    seed: seed === undefined ? newSeed() : Number(seed),
    seconds: Number(seconds),
    owners: Number(owners),
    faults: chosen,
    warm: values.warm,
    write: values.write,
  }
}
