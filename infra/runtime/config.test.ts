import assert from 'node:assert/strict'
import test from 'node:test'
import { ConfigError, parseConfig } from './config.ts'

test('an empty environment gives a screen of 1280x800, /data and the usual ports', () => {
  const config = parseConfig({})
  assert.equal(config.ui, true)
  assert.equal(config.dataDir, '/data')
  assert.deepEqual(config.rpc, { host: '0.0.0.0', port: 8787 })
  assert.deepEqual(config.screen, { width: 1280, height: 800 })
  assert.equal(config.key, undefined)
})

test('the screen is on only for 1, true, yes and on; blank means the default', () => {
  for (const value of ['1', 'true', ' YES ', 'On', '', '  '])
    assert.equal(parseConfig({ BROWSER_ENABLE_UI: value }).ui, true)
  for (const value of ['0', 'false', 'no', 'off', '2', 'y'])
    assert.equal(parseConfig({ BROWSER_ENABLE_UI: value }).ui, false)
})

test('a malformed value stops the start and names its variable, without repeating the value', () => {
  for (const [name, value] of [
    ['BROWSER_SCREEN', 'huge'],
    ['BROWSER_SCREEN', '1280x800x24'],
    ['BROWSER_USE_RPC_PORT', '12abc'],
    ['BROWSER_USE_RPC_PORT', '70000'],
    ['BROWSER_DATA_DIR', 'data'],
  ] as const) {
    assert.throws(
      () => parseConfig({ [name]: value }),
      error => error instanceof ConfigError && error.message.includes(name) && !error.message.includes(value),
    )
  }
})

test('X and Chromium get the environment without its secrets', () => {
  const { childEnv, key, modelConfigured } = parseConfig({
    ...{ PATH: '/bin', PORTHOLE_KEY: 'k', OPENAI_API_KEY: 'a', OPENAI_BASE_URL: 'b', MODEL_DEFAULT: 'm' },
  })
  assert.deepEqual(childEnv, { PATH: '/bin', MODEL_DEFAULT: 'm' })
  assert.equal(key, 'k')
  assert.equal(modelConfigured, true)
})

test('a model is configured only when all three of its variables say something', () => {
  assert.equal(parseConfig({ OPENAI_API_KEY: 'a', OPENAI_BASE_URL: '', MODEL_DEFAULT: 'm' }).modelConfigured, false)
})
