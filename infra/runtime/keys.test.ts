import assert from 'node:assert/strict'
import test from 'node:test'
import { parseChord } from './keys.ts'

test('a letter writes itself, with its code and the key of its capital', () => {
  assert.deepEqual(parseChord('a'), {
    key: { key: 'a', code: 'KeyA', windowsVirtualKeyCode: 65, text: 'a' },
    modifiers: 0,
  })
})

test('a key held with Control is a command and writes nothing; with Shift it still writes', () => {
  assert.deepEqual(parseChord('Control+A'), {
    key: { key: 'A', code: 'KeyA', windowsVirtualKeyCode: 65 },
    modifiers: 2,
  })
  assert.equal(parseChord('Shift+A')?.key.text, 'A')
})

test('named keys, function keys, plus and any character are keys', () => {
  assert.equal(parseChord('Enter')?.key.text, '\r')
  assert.equal(parseChord('F5')?.key.windowsVirtualKeyCode, 116)
  assert.equal(parseChord('+')?.key.text, '+')
  assert.deepEqual(parseChord('Control++')?.modifiers, 2)
  assert.equal(parseChord('ü')?.key.text, 'ü')
})

test('what is no key is none', () => {
  for (const value of ['', 'Hyper', 'F13', 'constructor', 'toString+a', 'Control+', 'Control+Enterr']) {
    assert.equal(parseChord(value), undefined, value)
  }
})
