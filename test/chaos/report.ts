import { operations } from './plan.ts'
import type { Outcome } from './schedule.ts'
import type { Violation } from './violation.ts'

export type Ran = Outcome & { seed: number }

const row = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`
const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]): string =>
  [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n')

const seconds = (ms: number) => (ms / 1000).toFixed(1)
const longest = (times: readonly number[]) => (times.length === 0 ? '' : seconds(Math.max(...times)))
const middle = (times: readonly number[]) =>
  times.length === 0 ? '' : seconds(times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN)

/** One line for each promise that was broken, with the seed to see it again. */
export const tellViolations = (runs: readonly { seed: number; violations: Violation[] }[]): string[] =>
  runs.flatMap(({ seed, violations }) => violations.map(({ invariant, what }) => `seed ${seed}: ${invariant}: ${what}`))

/** What was asked and struck in all schedules, and how that went, as Markdown. */
export const reportOf = (runs: readonly Ran[], faults: readonly string[]): string => {
  const entries = runs.flatMap(({ history }) => history.entries)
  const strikes = runs.flatMap(({ history }) => history.strikes)
  const broken = tellViolations(runs)
  const compared = (what: 'containers' | 'views') =>
    strikes.reduce((sum, strike) => sum + (strike.compared?.[what] ?? 0), 0)
  return [
    `${runs.length} schedules, seeds ${runs[0]?.seed} to ${runs.at(-1)?.seed}: ${entries.length} calls, ${strikes.length} faults, ${broken.length === 0 ? 'no promise broken' : `${broken.length} promises broken`}. ${compared('containers')} containers and ${compared('views')} views were compared that no fault may have ended.`,
    table(
      ['fault', 'struck', 'whole again after, s (median)', 'longest'],
      faults.map(name => {
        const times = strikes.filter(({ fault }) => fault === name).map(({ recoveryMs }) => recoveryMs)
        return [name, times.length, middle(times), longest(times)]
      }),
    ),
    table(
      ['asked', 'done', 'refused', 'nobody knows', 'median, s', 'longest'],
      operations.map(name => {
        const own = entries.filter(({ operation }) => operation === name)
        const count = (outcome: string) => own.filter(entry => entry.outcome === outcome).length
        const times = own.map(({ ms }) => ms)
        return [name, count('ok'), count('refused'), count('unknown'), middle(times), longest(times)]
      }),
    ),
    ...(broken.length === 0 ? [] : [broken.map(line => `- ${line}`).join('\n')]),
  ].join('\n\n')
}

/** Puts `text` between the two marks of a document. @throws Error when they are not there */
export const putBetween = (document: string, text: string): string => {
  const [begin, end] = ['<!-- long run -->', '<!-- end of the long run -->']
  const [from, to] = [document.indexOf(begin), document.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`the document has no place for the table: it lacks ${begin} … ${end}`)
  return `${document.slice(0, from + begin.length)}\n\n${text}\n\n${document.slice(to)}`
}
