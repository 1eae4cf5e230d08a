import { fork } from 'node:child_process'
import { closeSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { UpConfig } from './config.ts'
import { Explained } from './explained.ts'
import { openLog } from './files.ts'
import { type Shape, wordsFor } from './options.ts'
import type { Progress } from './progress.ts'
import { progressMessage, showProgress } from './remote-progress.ts'
import { type DevInfo, devInfo } from './state.ts'

/** What the background process tells the one that started it. */
const detachMessage = z.union([
  progressMessage,
  z.object({ type: z.literal('ready'), info: devInfo }),
  z.object({ type: z.literal('failed'), message: z.string() }),
  /** Another process was quicker to take the stack. */
  z.object({ type: z.literal('taken') }),
])
export type DetachMessage = z.infer<typeof detachMessage>

/**
 * Starts the stack in a process of its own and shows how it comes up. Resolves when it is ready, or to undefined when another
 * process holds it; rejects with its reason when it fails.
 */
export async function startDetached(config: UpConfig, shape: Shape, progress: Progress): Promise<DevInfo | undefined> {
  const log = openLog(join(config.dir, 'up.log'))
  const child = fork(join(config.root, 'infra/dev/background.ts'), wordsFor(shape), {
    cwd: config.root,
    env: config.env,
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
  })
  closeSync(log)
  const { promise, resolve, reject } = Promise.withResolvers<DevInfo | undefined>()
  const show = showProgress(progress)
  child.on('message', raw => {
    const message = detachMessage.parse(raw)
    if (message.type === 'ready') resolve(message.info)
    else if (message.type === 'taken') resolve(undefined)
    else if (message.type === 'failed') reject(new Explained(message.message))
    else show(message)
  })
  child.once('error', reject)
  child.once('exit', code =>
    reject(new Error(`the background process ended (exit code ${code}); see ${config.dir}/up.log`)),
  )
  // Until it is ready it belongs to us: a Ctrl-C here ends it, and its failure is then told above.
  const pass = () => child.kill('SIGTERM')
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, pass)
  try {
    return await promise
  } finally {
    child.unref()
    if (child.connected) child.disconnect()
  }
}
