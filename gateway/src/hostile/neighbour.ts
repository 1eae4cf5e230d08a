import http from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

/** Milliseconds between two requests. */
const restMs = 15
/** Milliseconds after which an answer counts as none. */
const patience = 10_000

export type Neighbour = {
  /** Asks on until `flood` is over. @returns milliseconds within which 95 of 100 answers came. @throws when one was not a 200 */
  during(flood: () => Promise<void>): Promise<number>
  close(): void
}

/** Somebody well-behaved, with a connection of their own that was there before: asks for a thing again and again. */
export const createNeighbour = (url: string, authorization: string): Neighbour => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  const ask = () =>
    new Promise<number>((resolve, reject) => {
      const startedAt = performance.now()
      const signal = AbortSignal.timeout(patience)
      const req = http.get(url, { agent, signal, headers: { authorization } }, res => {
        res.resume().once('end', () => {
          if (res.statusCode === 200) resolve(performance.now() - startedAt)
          else reject(new Error(`the neighbour got a ${res.statusCode}`))
        })
      })
      req.once('error', cause => reject(new Error('the neighbour got no answer', { cause })))
    })

  return {
    during: async flood => {
      const times: number[] = [await ask()]
      let isOver = false
      const flooding = flood().finally(() => {
        isOver = true
      })
      const asking = async () => {
        while (!isOver) {
          times.push(await ask())
          await delay(restMs)
        }
      }
      await Promise.all([flooding, asking()])
      times.sort((a, b) => a - b)
      return times[Math.ceil(times.length * 0.95) - 1] ?? Number.NaN
    },
    close: () => agent.destroy(),
  }
}
