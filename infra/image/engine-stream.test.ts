import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { followEngine } from './engine-stream.ts'
import { ImageError, imageError } from './image-error.ts'
import { type Progress, throttled } from './progress.ts'

test('lines are told however the answer is cut, and an error among them is thrown', async () => {
  const seen: string[] = []
  const ok = Readable.from([Buffer.from('{"stream":"Step 1/2 : A"}\r\n{"str'), Buffer.from('eam":"b"}\n')])
  await followEngine(ok, ({ stream }) => seen.push(stream ?? ''))
  assert.deepEqual(seen, ['Step 1/2 : A', 'b'])
  const bad = Readable.from([Buffer.from('{"stream":"a"}\n{"error":"no space left on device"}\n')])
  await assert.rejects(
    followEngine(bad, () => {}),
    /no space left/,
  )
})

test('a known reason comes with what to do about it', () => {
  const full = imageError('Building', new Error('write /x: no space left on device'))
  assert.match(full.message, /^Building failed: write.*\nThe disk of the Docker engine is full\./)
  assert.match(
    imageError('Building', new Error('connect ECONNREFUSED /var/run/docker.sock')).message,
    /does not answer/,
  )
  assert.equal(imageError('Building', new Error('odd')).message, 'Building failed: odd')
  const own = new ImageError('already clear')
  assert.equal(imageError('Building', own), own)
})

test('progress is thinned out, but every new step comes through', () => {
  let now = 0
  const seen: string[] = []
  const report = throttled(
    ({ text }: Progress) => seen.push(text),
    500,
    () => now,
  )
  report({ phase: 'build', step: 1, steps: 2, text: 'a' })
  report({ phase: 'build', step: 1, steps: 2, text: 'b' })
  report({ phase: 'build', step: 2, steps: 2, text: 'c' })
  now = 499
  report({ phase: 'build', step: 2, steps: 2, text: 'd' })
  now = 500
  report({ phase: 'build', step: 2, steps: 2, text: 'e' })
  assert.deepEqual(seen, ['a', 'c', 'e'])
})
