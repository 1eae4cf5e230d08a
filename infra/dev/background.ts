// The process that holds a detached stack. Its parent (detach.ts) shows what it sends, and goes when it is ready.
import { readUpConfig, readVerbose } from './config.ts'
import type { DetachMessage } from './detach.ts'
import { tell } from './explained.ts'
import { hold } from './hold.ts'
import { parseUp } from './options.ts'
import { createProgress, type Progress, screenOf } from './progress.ts'
import { sendProgress } from './remote-progress.ts'
import { stopSignals } from './signals.ts'
import { openState } from './state.ts'

const send = (message: DetachMessage) => {
  if (process.connected) process.send?.(message)
}
// Standard output is a log file here.
const log = createProgress(screenOf(process.stdout))
const parent = sendProgress(send)
const progress: Progress = {
  note: text => (process.connected ? parent : log).note(text),
  step: title => (process.connected ? parent : log).step(title),
}

const { stop, force } = stopSignals(progress.note)
try {
  const config = readUpConfig()
  const shape = parseUp(process.argv.slice(2))
  if (shape.kind !== 'up')
    throw new Error('the background process was started with other words than its starter writes')
  const state = openState(config.dir)
  if (!state.take()) {
    send({ type: 'taken' })
  } else {
    await hold({
      config,
      shape,
      state,
      progress,
      stop,
      force,
      onReady(info) {
        process.removeAllListeners('disconnect') // from here on it lives without its parent
        process.send?.({ type: 'ready', info } satisfies DetachMessage, () => process.disconnect())
      },
    })
    send({ type: 'failed', message: 'It was stopped.' })
  }
  process.exitCode = 0
} catch (error) {
  send({ type: 'failed', message: tell(error, readVerbose()) })
  log.note(tell(error, true))
  process.exitCode = 1
}
if (process.connected) process.disconnect()
process.exit()
