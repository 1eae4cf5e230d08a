import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import { tee } from './tee.ts'

const { signal } = new AbortController()

describe('what is read once and written to several', () => {
  it('reaches each of them whole, a slow one too', async () => {
    const outlets = [new PassThrough(), new PassThrough({ highWaterMark: 1 })]
    const chunks = Array.from({ length: 100 }, (_, n) => Buffer.from(`${n},`))
    let told = 0
    const read = outlets.map(outlet => text(outlet))
    await tee(Readable.from(chunks), outlets, total => (told = total), signal)
    const whole = Buffer.concat(chunks)
    assert.deepEqual(await Promise.all(read), [String(whole), String(whole)])
    assert.equal(told, whole.length)
  })

  it('is read no faster than the slowest takes it', async () => {
    let made = 0
    const endless = Readable.from(
      (function* () {
        for (;;) {
          made += 1
          yield Buffer.alloc(1024)
        }
      })(),
    )
    const stop = new AbortController()
    const stuck = new PassThrough({ highWaterMark: 1 })
    const free = new PassThrough().resume()
    const working = tee(endless, [stuck, free], () => {}, stop.signal)
    setImmediate(() => stop.abort())
    await assert.rejects(working, { name: 'AbortError' })
    assert(made < 100, `${made} chunks were read`)
  })
})
