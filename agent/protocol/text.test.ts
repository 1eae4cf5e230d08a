import assert from 'node:assert/strict'
import { it } from 'node:test'
import vectors from '../../test/vectors/source-behaviour.json' with { type: 'json' }
import { pythonStrip } from './text.ts'

it('strips what Python strips, and nothing else', () => {
  const python = new Set(vectors.python_strip_whitespace.python_str_strip_codepoints.map(Number))
  for (let code = 0; code < 0xd800; code++) {
    const character = String.fromCharCode(code)
    assert.equal(pythonStrip(`${character}a${character}`) === 'a', python.has(code), code.toString(16))
  }
  assert.equal(pythonStrip(' \u0085 a \ufeff'), 'a \ufeff')
  assert.equal(pythonStrip('  '), '')
})

it('takes no longer for a megabyte of inner spaces', () => {
  const value = `a${' '.repeat(1024 ** 2)}b`
  const startedAt = performance.now()
  assert.equal(pythonStrip(value), value)
  assert(performance.now() - startedAt < 100)
})
