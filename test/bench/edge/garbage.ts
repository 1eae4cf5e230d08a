import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { eventually } from '../../kit/eventually.ts'

/** Where Node's inspector listens when a process is told to open it; one at a time. */
const inspector = 'http://127.0.0.1:9229/json/list'

const isNode = (pid: number): boolean => /(^|\/)node\0/.test(readFileSync(`/proc/${pid}/cmdline`, 'latin1'))

const answerTo = async (socket: WebSocket, id: number): Promise<void> => {
  for (;;) {
    const [message] = (await once(socket, 'message', { signal: AbortSignal.timeout(30_000) })) as [MessageEvent]
    const answer = JSON.parse(String(message.data)) as { id?: number; error?: { message: string } }
    if (answer.error) throw new Error(`the inspector says: ${answer.error.message}`)
    if (answer.id === id) return
  }
}

/**
 * Has a Node process collect its garbage, so that what it holds is what it needs: a young process makes room by the tens of megabytes
 * long before it has to. Of any other program there is nothing to do.
 */
export const collectGarbage = async (pid: number): Promise<void> => {
  if (!isNode(pid)) return
  process.kill(pid, 'SIGUSR1')
  const [target] = await eventually(
    async () => (await (await fetch(inspector)).json()) as { webSocketDebuggerUrl: string }[],
  )
  if (!target) throw new Error('the inspector has no target')
  const socket = new WebSocket(target.webSocketDebuggerUrl)
  await once(socket, 'open', { signal: AbortSignal.timeout(10_000) })
  const closed = once(socket, 'close')
  const collected = answerTo(socket, 1)
  socket.send(JSON.stringify({ id: 1, method: 'HeapProfiler.collectGarbage' }))
  await collected
  // It closes our connection too.
  const expression = "setImmediate(() => process.getBuiltinModule('node:inspector').close())"
  socket.send(JSON.stringify({ id: 2, method: 'Runtime.evaluate', params: { expression } }))
  await closed
}
