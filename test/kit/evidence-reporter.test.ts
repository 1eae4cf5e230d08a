import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { it } from 'node:test'
import { spec } from 'node:test/reporters'
import type { Verdict } from './evidence-check.ts'
import { checkName, type Event, withCheck } from './evidence-reporter.ts'

const clean: Verdict = { leaks: [], gaps: [], logs: 3, lines: 40, secrets: 5 }
const said = (message: string): Event => ({ type: 'test:diagnostic', data: { nesting: 0, message, level: 'info' } })
const print = (message: string): Event => ({ type: 'test:stdout', data: { file: '/x.test.ts', message } })
const totals = ['tests 2', 'pass 2', 'fail 0', 'duration_ms 10'].map(said)

const reported = async (events: Event[], verdict: Verdict) => {
  const calls: string[] = []
  let failures = 0
  const check = (output: string) => {
    calls.push(output)
    return verdict
  }
  const checked = withCheck(Readable.from(events), check, () => {
    failures += 1
  })
  const text = (await Readable.from(checked).compose(new spec()).toArray()).join('')
  return { text, calls, failures }
}

it('a clean run has one more test that passed', async () => {
  const { text, calls, failures } = await reported([print('of a test\n'), ...totals], clean)
  assert.match(text, new RegExp(`✔ ${checkName}`))
  assert.match(text, /3 logs of 40 lines searched for 5 secrets/)
  assert.match(text, /ℹ tests 3\n.*ℹ pass 3\n.*ℹ fail 0\n/s)
  assert.deepEqual([calls.length, failures], [1, 0])
  assert.match(calls[0] ?? '', /of a test/)
})

const bad: readonly (readonly [string, Verdict])[] = [
  ['a leak', { ...clean, leaks: ['logs/gateway.log:7: cookie: a line'] }],
  ['a gap', { ...clean, gaps: ['only 3 logs'] }],
]
for (const [what, verdict] of bad)
  it(`a run with ${what} has one more test that failed, says why, and ends red`, async () => {
    const { text, failures } = await reported([...totals], verdict)
    assert.match(text, new RegExp(`✖ ${checkName}`))
    assert.match(text, /logs\/gateway\.log:7: cookie: a line|only 3 logs/)
    assert.match(text, /ℹ tests 3\n.*ℹ pass 2\n.*ℹ fail 1\n/s)
    assert.equal(failures, 1)
  })

it('what a test says that looks like a total is none', async () => {
  const own = { type: 'test:diagnostic', data: { nesting: 0, message: 'tests 9', level: 'info', file: '/x.test.ts' } }
  const { calls, text } = await reported([own, print('later\n'), ...totals], clean)
  assert.equal(calls.length, 1)
  assert.match(calls[0] ?? '', /later/)
  assert.match(text, /ℹ tests 9\n.*ℹ tests 3\n/s)
})

it('what failing tests say is searched as well', async () => {
  const place = { name: 'x', nesting: 0, testNumber: 1, file: '/x.test.ts', line: 1, column: 1 }
  const error = new Error('it was token-one')
  const failed = [
    { type: 'test:start', data: place },
    { type: 'test:fail', data: { ...place, details: { duration_ms: 1, type: 'test', error } } },
  ]
  const { calls } = await reported([...failed, ...totals], clean)
  assert.match(calls[0] ?? '', /it was token-one/)
})

it('a run that ends without its totals is red: nothing was searched', async () => {
  const { calls, failures } = await reported([print('killed\n')], clean)
  assert.deepEqual([calls.length, failures], [0, 1])
})
