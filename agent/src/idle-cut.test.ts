import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { test } from 'node:test'
import { cutWhenIdle } from './idle-cut.ts'

test('a stream comes through as it is', async () => {
  const chunks = await cutWhenIdle(Readable.from([Buffer.from('a'), Buffer.from('bc')]), 60_000).toArray()
  assert.equal(Buffer.concat(chunks).toString(), 'abc')
})

test('a source that says nothing more is cut, and so is the stream', async () => {
  const source = new PassThrough()
  source.write('a')
  await assert.rejects(cutWhenIdle(source, 30).toArray(), /nothing has passed for 30 ms/)
  assert(source.destroyed)
})

test('one from which nobody takes anything is cut, and its source let go', async () => {
  const source = new Readable({ read() {} })
  const closed = new Promise(resolve => source.once('close', resolve))
  const stream = cutWhenIdle(source, 30)
  const failed = new Promise<Error>(resolve => stream.once('error', resolve))
  for (let n = 0; n < 100; n++) source.push(Buffer.alloc(16_384))
  assert.match((await failed).message, /the other end is gone/)
  await closed
})

test('one whose end nobody takes is cut too, however little it is', async () => {
  const stream = cutWhenIdle(Readable.from([Buffer.from('a')]), 30)
  const failed = new Promise<Error>(resolve => stream.once('error', resolve))
  assert.match((await failed).message, /the other end is gone/)
})

test('what comes slowly, but comes, is not cut', async () => {
  const source = new PassThrough()
  const stream = cutWhenIdle(source, 400)
  const whole = stream.toArray()
  for (let n = 0; n < 8; n++) {
    source.write('x')
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  source.end()
  assert.equal(Buffer.concat(await whole).length, 8)
})

test('one that fails fails with its own error', async () => {
  const source = new PassThrough()
  const stream = cutWhenIdle(source, 60_000)
  source.destroy(new Error('disk gone'))
  await assert.rejects(stream.toArray(), /disk gone/)
})
