import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AgentError } from './problems.ts'
import { createTurnstile } from './turnstile.ts'

const never = new AbortController().signal

/** Everybody waits behind one who is in; gives the order in which they get in. */
const bench = async (most = 10) => {
  const turnstile = createTurnstile(1, most)
  const leaveFirst = await turnstile.enter(never)
  const order: string[] = []
  const wait = async (name: string, options: { last?: boolean } = {}, signal = never) => {
    const leave = await turnstile.enter(signal, options)
    order.push(name)
    leave()
  }
  return { wait, order, leaveFirst }
}

test('who would rather be last lets by whoever comes, also later, until they are in', async () => {
  const { wait, order, leaveFirst } = await bench()
  const waiting = [wait('a', { last: true }), wait('1'), wait('b', { last: true }), wait('2', { last: false })]
  leaveFirst()
  await Promise.all(waiting)
  assert.deepEqual(order, ['1', '2', 'a', 'b'])
})

test('a free place is for anybody, and is given back', async () => {
  const turnstile = createTurnstile(1, 10)
  for (const last of [true, false, true]) (await turnstile.enter(never, { last }))()
})

test('one that waits to be last gives up like any other, and as many of them wait as of others', async () => {
  const { wait, order, leaveFirst } = await bench(1)
  const over = new AbortController()
  const gone = wait('a', { last: true }, over.signal)
  const isBusy = (error: unknown) => error instanceof AgentError && error.code === 'busy'
  await assert.rejects(wait('b', { last: true }), isBusy)
  const other = wait('1')
  over.abort(new Error('enough'))
  await assert.rejects(gone, /enough/)
  leaveFirst()
  await other
  assert.deepEqual(order, ['1'])
})
