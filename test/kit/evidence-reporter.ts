import { Readable } from 'node:stream'
import { spec } from 'node:test/reporters'
import { evidenceFolder } from './config.ts'
import { checkEvidence, type Verdict } from './evidence-check.ts'

/**
 * The test runner's own `spec` report, with one more test after all others: that no secret of the run is in a log of it.
 *
 * It is done here because nothing else can add to the totals that a run closes with (`ℹ pass`, `ℹ fail`). What
 * `globalTeardown` of `--test-global-setup` throws is lost with `--test-force-exit`: the run ends green. A test file that is
 * to run last can't know that the others, beside which it runs, have ended. And a second run has totals of its own.
 */
export default async function* report(source: AsyncIterable<Event>): AsyncGenerator<string> {
  const folder = evidenceFolder()
  const events = folder === undefined ? source : withCheck(source, output => checkEvidence(folder, output))
  yield* Readable.from(events).compose(new spec())
}

/** What the runner tells of a test, https://nodejs.org/api/test.html#class-testsstream. Most of it is passed on unread. */
export type Event = { type: string; data: object }

export const checkName = 'no secret of this run is in one of its logs'
const shownLeaks = 50

/** The events, with those of the check before the first of the totals. */
export async function* withCheck(
  source: AsyncIterable<Event>,
  check: (output: string) => Verdict,
  fail = () => {
    process.exitCode = 1
  },
): AsyncGenerator<Event> {
  const seen: Event[] = []
  let failed: boolean | undefined
  for await (const event of source) {
    if (failed === undefined && totalIn(event)?.name === 'tests') {
      const startedAt = performance.now()
      const verdict = check(await printed(seen))
      failed = verdict.leaks.length + verdict.gaps.length > 0
      if (failed) fail()
      yield* eventsOf(verdict, failed, performance.now() - startedAt)
    }
    if (failed === undefined) seen.push(event)
    yield failed === undefined ? event : withTotals(event, failed)
  }
  // Without totals nothing was checked, and nobody is to think that it was.
  if (failed === undefined) fail()
}

/** Everything that the tests and their report print. */
const printed = async (events: readonly Event[]): Promise<string> =>
  (await Readable.from(events).compose(new spec()).toArray()).join('')

/** A line of the totals: the run's own says no file. */
function totalIn({ type, data }: Event): { name: string; count: number } | undefined {
  if (type !== 'test:diagnostic' || !('message' in data) || 'file' in data) return undefined
  const [, name, count] = /^(\w+) (\d+)$/.exec(String(data.message)) ?? []
  return name === undefined ? undefined : { name, count: Number(count) }
}

function withTotals(event: Event, failed: boolean): Event {
  const total = totalIn(event)
  if (!total || !['tests', failed ? 'fail' : 'pass'].includes(total.name)) return event
  return { ...event, data: { ...event.data, message: `${total.name} ${total.count + 1}` } }
}

function* eventsOf(verdict: Verdict, failed: boolean, ms: number): Generator<Event> {
  const place = { name: checkName, nesting: 0, testNumber: 0, file: import.meta.filename, line: 1, column: 1 }
  const details = { duration_ms: ms, type: 'test' }
  yield { type: 'test:start', data: place }
  if (!failed) yield { type: 'test:pass', data: { ...place, details } }
  else yield { type: 'test:fail', data: { ...place, details: { ...details, error: failureOf(verdict) } } }
  const { logs, lines, secrets } = verdict
  const message = `${logs} logs of ${lines} lines searched for ${secrets} secrets`
  yield { type: 'test:diagnostic', data: { nesting: 0, message, level: 'info' } }
}

function failureOf({ leaks, gaps }: Verdict): Error {
  const more = leaks.length > shownLeaks ? [`and ${leaks.length - shownLeaks} more`] : []
  const error = new Error([...gaps, ...leaks.slice(0, shownLeaks), ...more].join('\n'))
  // Where it was found is in the message; where it was thrown is of no use.
  error.stack = error.message
  return error
}
