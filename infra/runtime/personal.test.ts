import assert from 'node:assert/strict'
import test from 'node:test'
import { parseConfig } from './config.ts'
import { createSettings, type PersonalSettings, parsePersonal } from './personal.ts'

const faultsOf = (body: unknown) => {
  const parsed = parsePersonal(typeof body === 'string' ? body : JSON.stringify(body))
  return 'faults' in parsed ? parsed.faults.map(({ pointer }) => pointer) : parsed
}

test('settings are an environment and perhaps a view, and nothing else', () => {
  const all = { env: { MODEL_DEFAULT: 'b', OPENAI_API_KEY: '' }, viewUrl: 'https://p/view' }
  assert.deepEqual(faultsOf(all), all)
  assert.deepEqual(faultsOf({ env: {} }), { env: {} })
  for (const none of ['', 'null', '[]', '"x"', '{']) assert.deepEqual(faultsOf(none), [''])
  assert.deepEqual(faultsOf({}), ['/env'])
  assert.deepEqual(faultsOf({ env: [], viewUrl: 1, 'a/b': 1 }), ['/a~1b', '/viewUrl', '/env'])
  assert.deepEqual(
    faultsOf({ env: { 'A-B': 'x', MODEL_DEFAULT: 1, OPENAI_API_KEY: 'a\0b', ['A'.repeat(129)]: 'x' } }),
    [...['/env/A-B', '/env/MODEL_DEFAULT', '/env/OPENAI_API_KEY', `/env/${'A'.repeat(128)}`]],
  )
  for (const viewUrl of ['x', 'javascript:1', `https://p/${'x'.repeat(2048)}`])
    assert.deepEqual(faultsOf({ env: {}, viewUrl }), ['/viewUrl'])
})

test('what counts only at the start is refused, so that its owner gets a runtime of their own', () => {
  for (const name of ['BROWSER_SCREEN', 'LD_PRELOAD', 'TZ', 'PORTHOLE_KEY'])
    assert.deepEqual(faultsOf({ env: { [name]: 'x' } }), [`/env/${name}`])
})

test('a fault never repeats a value', () => {
  assert.ok(!JSON.stringify(parsePersonal('{"env":{"A":["hush"],"1":"hush"},"viewUrl":{"a":"hush"}}')).includes('hush'))
})

test('what was taken counts from then on, and secrets stay out of the environment of Chromium', () => {
  const before = parseConfig({ A: '1', B: '2', MODEL_DEFAULT: 'm', OPENAI_BASE_URL: 'u', PORTHOLE_KEY: 'k' })
  const settings = createSettings(before)
  assert.equal(settings.current().modelConfigured, false)
  assert.ok(settings.take({ env: { MODEL_DEFAULT: 'n', OPENAI_API_KEY: 'a' }, viewUrl: 'https://p/view' }))
  const { viewUrl, modelConfigured, childEnv, key } = settings.current()
  assert.deepEqual([viewUrl, modelConfigured, key], ['https://p/view', true, 'k'])
  assert.deepEqual(childEnv, { A: '1', B: '2', MODEL_DEFAULT: 'n' })
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
