import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { openState } from '../../infra/dev/state.ts'

const labDir = join(import.meta.dirname, '../../.porthole/lab')

/** Where the lab's engines keep their images between runs. Only for who has the lab. */
export const labHosts: string = join(labDir, 'hosts')

const patienceMs = 840_000

/** Waits until no other test file has the lab. The function it gives lets the next one have it. */
export async function takeLab(): Promise<() => Promise<void>> {
  const state = openState(labDir)
  const deadline = performance.now() + patienceMs
  while (!state.take()) {
    if (performance.now() > deadline)
      throw new Error(`process ${state.holder()?.pid} has the lab (${labDir}) since long`)
    await delay(200) // it is no child of ours: it tells by a file
  }
  return async () => state.release()
}
