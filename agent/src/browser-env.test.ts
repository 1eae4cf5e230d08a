import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  legacySettings,
  modelEnv,
  normalizeViewBase,
  parseEnvList,
  reservedBrowserEnv,
  viewUrlUnder,
} from './browser-env.ts'
import { asBool, asInt, pythonInt } from './python-values.ts'
import vectors from './vectors.json' with { type: 'json' }

/** A row's value as the original got it: JSON has no infinity, and JavaScript no difference between 1.0 and 1. */
const original = (row: { value: unknown; py_type: string }): unknown => {
  if (row.value === 'inf' && row.py_type === 'float') return Number.POSITIVE_INFINITY
  return row.py_type === 'float' && Number.isInteger(row.value) ? `${row.value}.0` : row.value
}

test('integers are read as the original read them', () => {
  for (const row of vectors.as_int) {
    if ('raises' in row) assert.throws(() => asInt(original(row), row.default), RangeError)
    else assert.equal(asInt(original(row), row.default), row.expect, JSON.stringify(row))
  }
})

test('an integer may have a sign, single underscores and the digits of any script', () => {
  const accepted: [string, number][] = [
    ['+3', 3],
    [' 7 ', 7],
    ['1_000', 1000],
    ['٣', 3],
    ['𝟗𝟘', 90],
    ['-12', -12],
    ['०१२', 12],
    ['\u0085 8\u001c', 8],
  ]
  for (const [text, value] of accepted) assert.equal(pythonInt(text), value, text)
  for (const text of ['', '_1', '1_', '1__0', '+ 3', '0x10', '1.0', '½', '\ufeff1'])
    assert.equal(pythonInt(text), undefined, text)
})

test('booleans are read as the original read them', () => {
  for (const row of vectors.as_bool) {
    assert.equal(asBool(original(row), true), row.default_true, JSON.stringify(row))
    assert.equal(asBool(original(row), false), row.default_false, JSON.stringify(row))
  }
})

test('the old settings are read as the original read them', () => {
  for (const { env, expect } of vectors.config) {
    const settings = legacySettings(env)
    assert.deepEqual(
      {
        mode: settings.mode,
        runtime_image: settings.runtimeImage,
        runtime_network: settings.runtimeNetwork,
        runtime_ttl_seconds: settings.runtimeTtlSeconds,
        runtime_start_timeout: settings.runtimeStartTimeoutSeconds,
        shared_cdp_url: settings.sharedCdpUrl,
        enable_ui: settings.enableUi,
      },
      expect,
    )
  }
})

test('the view base is cut as the original cut it', () => {
  for (const { raw, expect } of vectors.normalize_browser_view_base_url) assert.equal(normalizeViewBase(raw), expect)
})

test('the container is told what the original told it, in that order', () => {
  for (const { env, browser_view_url, expect } of vectors.runtime_env_args) {
    const all = { ...reservedBrowserEnv(legacySettings(env).enableUi, '/data', browser_view_url), ...modelEnv(env) }
    assert.deepEqual(
      Object.entries(all).flatMap(([name, value]) => ['-e', `${name}=${value}`]),
      expect,
    )
  }
})

test('a view URL is handed on only when there is a base', () => {
  assert.equal(viewUrlUnder('', '2bd806c97f0e00af'), undefined)
  assert.equal(reservedBrowserEnv(true, '/data', undefined).BROWSER_VIEW_URL, undefined)
  assert.equal(
    viewUrlUnder('https://v.example.com', '2bd806c97f0e00af'),
    'https://v.example.com/view/2bd806c97f0e00af/vnc.html?path=view/2bd806c97f0e00af/websockify',
  )
})

test("a container's environment list is read as the original read it", () => {
  for (const row of vectors.seed3_env_parse) {
    if ('raises' in row) assert.throws(() => parseEnvList(null), TypeError)
    else assert.deepEqual(Object.fromEntries(parseEnvList(row.env)), row.expect)
  }
})
