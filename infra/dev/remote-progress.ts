import { z } from 'zod'
import type { Progress, ProgressStep } from './progress.ts'

/** Progress told by one process and shown by another. */
export const progressMessage = z.discriminatedUnion('type', [
  z.object({ type: z.literal('note'), text: z.string() }),
  z.object({ type: z.literal('step'), id: z.number(), title: z.string() }),
  z.object({ type: z.literal('update'), id: z.number(), detail: z.string() }),
  z.object({ type: z.literal('done'), id: z.number(), detail: z.string() }),
  z.object({ type: z.literal('fail'), id: z.number() }),
  z.object({ type: z.literal('drop'), id: z.number() }),
])
export type ProgressMessage = z.infer<typeof progressMessage>

/** Progress that is sent instead of shown. */
export function sendProgress(send: (message: ProgressMessage) => void): Progress {
  let next = 0
  return {
    note: text => send({ type: 'note', text }),
    step(title) {
      next += 1
      const id = next
      send({ type: 'step', id, title })
      return {
        update: detail => send({ type: 'update', id, detail }),
        done: (detail = '') => send({ type: 'done', id, detail }),
        fail: () => send({ type: 'fail', id }),
        drop: () => send({ type: 'drop', id }),
      }
    },
  }
}

/** Shows what another process sends. */
export function showProgress(progress: Progress): (message: ProgressMessage) => void {
  const steps = new Map<number, ProgressStep>()
  return message => {
    if (message.type === 'note') return progress.note(message.text)
    if (message.type === 'step') return void steps.set(message.id, progress.step(message.title))
    const step = steps.get(message.id)
    if (message.type === 'update') return step?.update(message.detail)
    steps.delete(message.id)
    if (message.type === 'done') step?.done(message.detail)
    else if (message.type === 'fail') step?.fail()
    else step?.drop()
  }
}
