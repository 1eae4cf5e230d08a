import assert from 'node:assert/strict'
import test from 'node:test'
import { parseConfig } from './config.ts'
import { createSettings, type PersonalSettings, parsePersonal } from './personal.ts'

const faultsOf = (body: unknown) => {
  const parsed = parsePersonal(typeof body === 'string' ? body : JSON.stringify(body))
  return 'faults' in parsed ? parsed.faults.map(({ pointer }) => pointer) : parsed
}

test('settings are an environment and perhaps a view, and nothing else', () => {
  assert.deepEqual(faultsOf({ env: { A: 'b', _1: '' }, viewUrl: 'https://p/view' }), {
    ...{ env: { A: 'b', _1: '' }, viewUrl: 'https://p/view' },
  })
  assert.deepEqual(faultsOf({ env: {} }), { env: {} })
  for (const none of ['', 'null', '[]', '"x"', '{']) assert.deepEqual(faultsOf(none), [''])
  assert.deepEqual(faultsOf({}), ['/env'])
  assert.deepEqual(faultsOf({ env: [], viewUrl: 1, 'a/b': 1 }), ['/a~1b', '/viewUrl', '/env'])
  assert.deepEqual(faultsOf({ env: { '1A': 'x', 'A-B': 'x', N: 1, Z: 'a\0b', ['A'.repeat(129)]: 'x', OK: 'x' } }), [
    ...['/env/1A', '/env/A-B', '/env/N', '/env/Z', `/env/${'A'.repeat(128)}`],
  ])
})

test('what counts only at the start is refused, so that its owner gets a runtime of their own', () => {
  assert.deepEqual(faultsOf({ env: { BROWSER_SCREEN: '1920x1080' } }), ['/env/BROWSER_SCREEN'])
})

test('a fault never repeats a value', () => {
  assert.ok(!JSON.stringify(parsePersonal('{"env":{"A":["hush"],"1":"hush"},"viewUrl":{"a":"hush"}}')).includes('hush'))
})

test('what was taken counts from then on, and secrets stay out of the environment of Chromium', () => {
  const before = parseConfig({ A: '1', B: '2', MODEL_DEFAULT: 'm', OPENAI_BASE_URL: 'u', PORTHOLE_KEY: 'k' })
  const settings = createSettings(before)
  assert.equal(settings.current().modelConfigured, false)
  assert.ok(settings.take({ env: { B: '3', OPENAI_API_KEY: 'a', PORTHOLE_KEY: 'other' }, viewUrl: 'https://p/view' }))
  const { viewUrl, modelConfigured, childEnv, key } = settings.current()
  assert.deepEqual([viewUrl, modelConfigured, key], ['https://p/view', true, 'k'])
  assert.deepEqual(childEnv, { A: '1', B: '3', MODEL_DEFAULT: 'm' })
})

test('an owner may take a setting of the model away', () => {
  const settings = createSettings(parseConfig({ MODEL_DEFAULT: 'm', OPENAI_BASE_URL: 'u', OPENAI_API_KEY: 'a' }))
  assert.equal(settings.current().modelConfigured, true)
  settings.take({ env: { OPENAI_API_KEY: '' } })
  assert.equal(settings.current().modelConfigured, false)
})

test('the same settings may be given again, in any order, and no others', () => {
  const settings = createSettings(parseConfig({}))
  assert.ok(settings.take({ env: { A: '1', B: '2' } }))
  assert.ok(settings.take({ env: { B: '2', A: '1' } }))
  const others: PersonalSettings[] = [{ env: { A: '1' } }, { env: { A: '2', B: '2' } }]
  for (const other of [...others, { env: { A: '1', B: '2' }, viewUrl: 'x' }]) assert.equal(settings.take(other), false)
  assert.deepEqual(settings.current().childEnv, { A: '1', B: '2' })
})
