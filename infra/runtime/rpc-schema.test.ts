import assert from 'node:assert/strict'
import test from 'node:test'
import { parseRun } from './rpc-schema.ts'

const parse = (value: unknown) => parseRun(JSON.stringify(value))
const pointers = (value: unknown) => {
  const parsed = parse(value)
  assert.ok('faults' in parsed)
  return parsed.faults.map(({ pointer }) => pointer)
}

test('every action is understood and gets a deadline', () => {
  const actions = [
    { type: 'goto', url: 'https://example.com/' },
    { type: 'goto', url: 'data:text/html,hello', waitUntil: 'none' },
    { type: 'click', selector: '#a' },
    { type: 'click', x: 1, y: 2, button: 'right', count: 2 },
    { type: 'type', selector: '#a', text: 'hello', clear: true },
    { type: 'press', key: 'Control+Shift+K' },
    { type: 'wait', ms: 0 },
    { type: 'wait', selector: '#a', timeoutMs: 5 },
    { type: 'evaluate', expression: '1 + 1' },
    { type: 'screenshot', format: 'jpeg', quality: 50, fullPage: true },
    { type: 'pdf' },
    { type: 'content' },
  ]
  const parsed = parse({ actions })
  assert.ok('actions' in parsed)
  assert.deepEqual(
    parsed.actions.map(({ type, timeoutMs }) => [type, timeoutMs]),
    actions.map(({ type }, i) => [type, i === 7 ? 5 : 30_000]),
  )
})

test('an unknown field is pointed at, wherever it is', () => {
  assert.deepEqual(pointers({ actions: [{ type: 'content' }], 'a/b': 1 }), ['/a~1b'])
  assert.deepEqual(pointers({ actions: [{ type: 'content' }, { type: 'wait', ms: 1, speed: 2 }] }), [
    '/actions/1/speed',
  ])
  assert.deepEqual(pointers({ task: 'x', actions: [{ type: 'content' }] }), ['/task'])
})

test('what is missing or out of bounds is pointed at', () => {
  assert.deepEqual(pointers({}), ['/actions'])
  assert.deepEqual(pointers({ actions: [] }), ['/actions'])
  assert.deepEqual(pointers({ actions: [{ type: 'fly' }] }), ['/actions/0/type'])
  assert.deepEqual(pointers({ actions: [{ type: 'goto' }] }), ['/actions/0/url'])
  assert.deepEqual(pointers({ actions: [{ type: 'wait', ms: 1e9 }] }), ['/actions/0/ms'])
  assert.deepEqual(pointers({ actions: [{ type: 'press', key: 'Hyper+A' }] }), ['/actions/0/key'])
  assert.deepEqual(pointers({ actions: [{ type: 'click', x: 1 }] }), ['/actions/0'])
  assert.deepEqual(pointers({ actions: [{ type: 'click', selector: 'a', x: 1, y: 1 }] }), ['/actions/0'])
  assert.deepEqual(pointers({ actions: Array(101).fill({ type: 'content' }) }), ['/actions'])
  assert.deepEqual(parseRun('{'), { faults: [{ pointer: '', detail: 'is not JSON' }] })
})

test('a page can’t be taken to files, scripts or the browser’s own pages', () => {
  for (const url of [
    'file:///etc/passwd',
    'javascript:alert(1)',
    'chrome://settings',
    'view-source:https://a.test',
    '/a',
    'a.test',
  ]) {
    assert.deepEqual(pointers({ actions: [{ type: 'goto', url }] }), ['/actions/0/url'], url)
  }
})

test('a task is told apart from actions', () => {
  assert.deepEqual(parse({ task: 'buy milk' }), { task: 'buy milk' })
  assert.deepEqual(pointers({ task: '' }), ['/task'])
})
