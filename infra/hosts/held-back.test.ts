import assert from 'node:assert/strict'
import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'
import { it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { heldBack } from './held-back.ts'

it('every piece comes later, in order, and those of one moment together', async () => {
  const pace = { ms: 60 }
  const stream = heldBack(pace)
  const startedAt = performance.now()
  const came: { piece: string; ms: number }[] = []
  stream.on('data', (piece: Buffer) => came.push({ piece: String(piece), ms: performance.now() - startedAt }))
  for (const piece of ['a', 'b', 'c']) stream.write(piece)
  pace.ms = 0
  stream.end('d')
  await once(stream, 'end')
  assert.deepEqual(came.map(({ piece }) => piece).join(''), 'abcd')
  assert(
    came.every(({ ms }) => ms >= 59 && ms < 150),
    JSON.stringify(came),
  )
})

it('a piece that comes while another is held is held as long', async () => {
  const stream = heldBack({ ms: 60 })
  const came: number[] = []
  stream.on('data', () => came.push(performance.now()))
  stream.write('a')
  await sleep(30)
  const wroteAt = performance.now()
  stream.end('b')
  await once(stream, 'end')
  assert((came[1] ?? 0) - wroteAt >= 59, `${(came[1] ?? 0) - wroteAt} ms`)
})

it('a sender that does not stop is held up, and nothing of what it sent is lost', async () => {
  const stream = heldBack({ ms: 20 })
  const piece = Buffer.alloc(2 ** 20, 'x')
  let taken = 0
  while (stream.write(piece) && taken < 100) taken += 1
  assert(taken < 10, `${taken} MiB were taken`)
  stream.end()
  assert.equal((await buffer(stream)).length, (taken + 1) * piece.length)
})
