import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTyping, partsOf } from './typing.js'

test('letters of any script are keys, and emoji are pasted, each as a whole', () => {
  assert.deepEqual(partsOf('Grüße, Привет €'), [{ keys: 'Grüße, Привет €' }])
  assert.deepEqual(partsOf('a😀👍🏽b👩‍👧c☺️'), [
    { keys: 'a' },
    { paste: '😀👍🏽' },
    { keys: 'b' },
    { paste: '👩‍👧' },
    { keys: 'c' },
    { paste: '☺️' },
  ])
  assert.deepEqual(partsOf(''), [])
})

test('what is written while something is pasted comes after it', async () => {
  const done: string[] = []
  const waits: (() => void)[] = []
  const write = createTyping({
    press: character => done.push(character),
    paste: text => done.push(`[${text}]`),
    wait: () => new Promise<void>(resolve => waits.push(resolve)),
  })
  const all = [write('a😀b'), write('c'), write('😁')]
  assert.deepEqual(done, ['a', '[😀]'])
  waits.shift()?.()
  await all[1]
  assert.deepEqual(done, ['a', '[😀]', 'b', 'c', '[😁]'])
  waits.shift()?.()
  await Promise.all(all)
})

test('without anything to paste, keys are pressed at once', () => {
  const done: string[] = []
  void createTyping({ press: character => done.push(character), paste: () => assert.fail() })('ab')
  assert.deepEqual(done, ['a', 'b'])
})
