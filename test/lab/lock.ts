import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { openState } from '../../infra/dev/state.ts'

/** The one lab of this repo. */
export const labDir: string = join(import.meta.dirname, '../../.porthole/lab')

/** Where the engines of the lab in a folder keep their images between runs. Only for who has the lab. */
export const hostsOf = (dir: string): string => join(dir, 'hosts')

export const labHosts: string = hostsOf(labDir)

const patienceMs = 840_000

/**
 * Waits until no other test file has the lab. The function it gives lets the next one have it.
 * @param ms milliseconds @throws Error when it is still taken then
 */
export async function takeLab(ms = patienceMs, dir = labDir): Promise<() => Promise<void>> {
  const state = openState(dir)
  const deadline = performance.now() + ms
  while (!state.take()) {
    if (performance.now() > deadline) throw new Error(`process ${state.holder()?.pid} has the lab (${dir}) since long`)
    await delay(200) // it is no child of ours: it tells by a file
  }
  return async () => state.release()
}
