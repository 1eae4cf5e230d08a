import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Problem } from '../problem.ts'
import { ensureBody } from '../routes/schemas.ts'
import { type AskedIdle, type IdleRules, idlePolicyOf } from './idle-policy.ts'
import { createSpecs } from './specs.ts'
import { parseSpecs } from './specs-file.ts'
import { idleAsked } from './wanted.ts'

const browser = createSpecs().find('browser')
/** The pointers of what does not fit. */
const faultsOf = (rules: IdleRules, asked: AskedIdle): string[] => {
  try {
    idlePolicyOf(rules, asked)
  } catch (error) {
    assert(error instanceof Problem && error.code === 'invalid-request')
    return (error.extra.faults ?? []).map(({ pointer }) => pointer)
  }
  return []
}

test('a browser is stopped after 900 s unused, or as the gateway is set, or as its request says', () => {
  assert.deepEqual(idlePolicyOf(browser, {}), { stopAfter: 900 })
  assert.deepEqual(idlePolicyOf(createSpecs([], 60).find('browser'), {}), { stopAfter: 60 })
  assert.deepEqual(idlePolicyOf(createSpecs([], 0).find('browser'), {}), {})
  assert.deepEqual(idlePolicyOf(browser, { idle: { pauseAfter: 300, deleteAfter: 86_400 }, maxAge: 7200 }), {
    pauseAfter: 300,
    stopAfter: 900,
    deleteAfter: 86_400,
    maxAge: 7200,
  })
})

test('null and 0 mean never', () => {
  for (const never of [null, 0]) assert.deepEqual(idlePolicyOf(browser, { idle: { stopAfter: never } }), {})
})

test('what is paused is stopped later, and deleted later still; what does not fit is pointed at', () => {
  assert.deepEqual(faultsOf(browser, { idle: { pauseAfter: 900 } }), ['#/idle/pauseAfter'])
  assert.deepEqual(faultsOf(browser, { idle: { deleteAfter: 600 } }), ['#/idle/deleteAfter'])
  assert.deepEqual(faultsOf(browser, { idle: { pauseAfter: 100, stopAfter: 50 } }), ['#/idle/pauseAfter'])
  assert.deepEqual(faultsOf({ idle: { pauseAfter: 300 } }, { idle: { stopAfter: 60 } }), ['#/idle/stopAfter'])
  assert.deepEqual(faultsOf(browser, { idle: { pauseAfter: 5000, stopAfter: null, deleteAfter: 60 } }), [
    '#/idle/pauseAfter',
  ])
  assert.deepEqual(faultsOf(browser, { idle: { pauseAfter: 5000, stopAfter: null } }), [])
})

test('a spec may say what is allowed at most, and then "never" is too much', () => {
  const rules = { idle: { stopAfter: 600 }, atMost: { stopAfter: 600, maxAge: 3600 } }
  assert.deepEqual(faultsOf(rules, { idle: { stopAfter: 601 }, maxAge: 0 }), ['#/idle/stopAfter', '#/maxAge'])
  assert.deepEqual(faultsOf(rules, { idle: { stopAfter: 60 }, maxAge: 60 }), [])
})

test('what a request names for a runtime that is there is measured by the spec of that, not by its own', () => {
  const specs = createSpecs(
    parseSpecs('{"site": {"ports": {}, "idle": {"stopAfter": null}, "atMost": {"maxAge": 3600}}}'),
  )
  const asked = (body: AskedIdle, spec = 'site') => idleAsked(body, specs)?.(spec)
  assert.deepEqual(asked({ maxAge: 60 }), { maxAge: 60 }, 'never stopped, as its spec says')
  assert.deepEqual(asked({ maxAge: 60 }, 'browser'), { stopAfter: 900, maxAge: 60 })
  assert.throws(() => asked({ maxAge: 7200 }), /maxAge the spec allows 3600 at most/)
  assert.throws(() => asked({ maxAge: 60 }, 'no-more'), /there is no spec "no-more"/)
  assert.equal(asked({}), undefined)
})

test('a request is bounded, field by field', () => {
  for (const [body, path] of [
    [{ idle: { stopAfter: 9 } }, 'idle.stopAfter'],
    [{ idle: { stopAfter: -1 } }, 'idle.stopAfter'],
    [{ idle: { stopAfter: 1.5 } }, 'idle.stopAfter'],
    [{ idle: { stopAfter: 31_536_001 } }, 'idle.stopAfter'],
    [{ idle: { sleepAfter: 60 } }, 'idle'],
    [{ idle: null }, 'idle'],
    [{ maxAge: '60' }, 'maxAge'],
  ] as const) {
    const { error } = ensureBody.safeParse(body)
    assert.equal(error?.issues[0]?.path.join('.'), path, JSON.stringify(body))
  }
  for (const body of [{ idle: {} }, { idle: { stopAfter: 0, pauseAfter: null } }, { maxAge: 10 }, { maxAge: null }])
    assert(ensureBody.safeParse(body).success, JSON.stringify(body))
})

test("an operator's specs have rules of their own, the usual ones where they say nothing", () => {
  const rulesOf = (spec: object, stopSeconds?: number) => {
    const [{ idle, atMost } = {}] = parseSpecs(JSON.stringify({ site: { ports: {}, ...spec } }), stopSeconds)
    return { idle, atMost }
  }
  assert.deepEqual(rulesOf({}), { idle: { stopAfter: 900 }, atMost: {} })
  assert.deepEqual(rulesOf({}, 0).idle, {})
  assert.deepEqual(rulesOf({ idle: { stopAfter: null }, maxAge: 3600 }).idle, { maxAge: 3600 })
  assert.deepEqual(rulesOf({ atMost: { stopAfter: 600, maxAge: 3600 } }).idle, { stopAfter: 600, maxAge: 3600 })
  // Limits of what is to come later, or sooner, are no fault: the usual rules make way for them.
  assert.deepEqual(rulesOf({ atMost: { deleteAfter: 600 } }).idle, { stopAfter: 300, deleteAfter: 600 })
  assert.deepEqual(rulesOf({ atMost: { deleteAfter: 1000 } }).idle, { stopAfter: 900, deleteAfter: 1000 })
  assert.deepEqual(rulesOf({ atMost: { pauseAfter: 1000 } }).idle, { pauseAfter: 450, stopAfter: 900 })
  assert.deepEqual(rulesOf({ idle: { pauseAfter: 500 }, atMost: { deleteAfter: 600 } }).idle, {
    pauseAfter: 500,
    stopAfter: 550,
    deleteAfter: 600,
  })
  assert.deepEqual(rulesOf({ idle: { deleteAfter: 600 } }).idle, { stopAfter: 300, deleteAfter: 600 })
  const same = { pauseAfter: 600, stopAfter: 600, deleteAfter: 600 }
  assert.deepEqual(rulesOf({ atMost: same }).idle, { pauseAfter: 150, stopAfter: 300, deleteAfter: 600 })
  for (const [spec, told] of [
    [{ idle: { pauseAfter: 1000 } }, /^Error: site: idle: pauseAfter must be less than stopAfter/],
    [{ idle: { stopAfter: null }, atMost: { stopAfter: 600 } }, /^Error: site: stopAfter: atMost is 600/],
    [{ idle: { stopAfter: 5 } }, /^Error: site: idle\.stopAfter/],
    [{ atMost: { stopAfter: 5 } }, /^Error: site: atMost\.stopAfter/],
  ] as const)
    assert.throws(() => rulesOf(spec), told)
})
