import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { forcedEnd } from '../../infra/dev/child.ts'
import { startPostgres } from '../../infra/postgres/embedded.ts'
import { watchCredentials } from '../kit/credentials.ts'
import { evidence } from '../kit/evidence.ts'

/** A lab's own Postgres, which tests may kill. What it has said to be committed is on disk. */
export type LabPostgres = {
  url: string
  /** Of the one that runs now. */
  pid(): number
  /** Sends it KILL, and resolves when it has ended. */
  kill(): Promise<void>
  /** Ends it, unless it has ended, and starts one in its place: same port, same data. */
  restart(): Promise<void>
}

/** @param signal ends the wait for the first start; `end` ends it and removes its data */
export async function startLabPostgres(signal?: AbortSignal): Promise<{ postgres: LabPostgres; end(): Promise<void> }> {
  const dir = mkdtempSync(join(tmpdir(), 'porthole-lab-postgres-'))
  const remove = () => rmSync(dir, { recursive: true, force: true })
  let current = await startPostgres({ dir, ...(signal && { signal }) }).catch(error => {
    remove()
    throw error
  })
  evidence.remember('database password', decodeURIComponent(new URL(current.url).password))
  watchCredentials()
  return {
    postgres: {
      url: current.url,
      pid: () => current.pid,
      kill: () => current.stop(forcedEnd),
      async restart() {
        await current.stop()
        current = await startPostgres({ dir, port: current.port })
      },
    },
    async end() {
      await current.stop()
      remove()
    },
  }
}
