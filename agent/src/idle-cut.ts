import { PassThrough, pipeline, type Readable } from 'node:stream'

/**
 * The same stream, that ends with an error when nothing has passed for `ms`: its source says nothing more, or nobody
 * takes anything from it. A peer that has vanished from the network ends no connection, and would be waited for as long as
 * TCP does.
 */
export const cutWhenIdle = (source: Readable, ms: number): Readable => {
  const passed = new PassThrough()
  const cut = () => passed.destroy(new Error(`nothing has passed for ${ms} ms: the other end is gone`))
  const timer = setTimeout(cut, ms)
  passed._transform = (chunk, _encoding, done) => {
    timer.refresh()
    done(null, chunk)
  }
  // Not when the source has ended: what is left of it has yet to be taken.
  passed.once('close', () => clearTimeout(timer))
  // How it ended is told by the stream itself.
  pipeline(source, passed, () => {})
  return passed
}
