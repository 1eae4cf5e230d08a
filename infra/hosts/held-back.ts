import { Transform } from 'node:stream'

/** Bytes under way at most: a sender that goes on is held up then, as by a full pipe. */
const mostHeld = 4 * 2 ** 20

/** Gives on what it gets, in order, each piece `pace.ms` milliseconds after it came. The pace may change meanwhile. */
export function heldBack(pace: { ms: number }): Transform {
  const held: { piece: Buffer; due: number }[] = []
  let bytes = 0
  let timer: NodeJS.Timeout | undefined
  /** Called when there is room again, or when all has been given on. */
  let resume: (() => void) | undefined
  let isEnding = false

  const giveOn = () => {
    timer = undefined
    const now = performance.now()
    for (let first = held[0]; first && first.due <= now; first = held[0]) {
      held.shift()
      bytes -= first.piece.length
      stream.push(first.piece)
    }
    const [next] = held
    if (next) timer = setTimeout(giveOn, Math.max(1, next.due - now))
    if (isEnding ? next : bytes >= mostHeld) return
    const goOn = resume
    // Before, because what goes on may have to wait again.
    resume = undefined
    goOn?.()
  }

  const stream = new Transform({
    transform(piece: Buffer, _encoding, done) {
      held.push({ piece, due: performance.now() + pace.ms })
      bytes += piece.length
      if (bytes < mostHeld) done()
      else resume = () => done()
      timer ??= setTimeout(giveOn, pace.ms)
    },
    flush(done) {
      isEnding = true
      if (held.length === 0) done()
      else resume = () => done()
    },
    destroy(error, done) {
      clearTimeout(timer)
      held.length = 0
      done(error)
    },
  })
  return stream
}
