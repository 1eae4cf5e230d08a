import { existsSync } from 'node:fs'
import type { Step } from '../../infra/dev/process-identity.ts'
import { ensureHostsPossible } from '../../infra/hosts/ability.ts'
import { clearHosts } from '../../infra/hosts/clear.ts'
import { hostsOf, labDir, takeLab } from './lock.ts'

/** Milliseconds in which a test file that is just being ended lets go of the lab. */
const patienceMs = 5_000

/**
 * Ends and removes what a test file that was cut off has left of its lab. One that somebody alive has, another run say, is
 * left to them.
 * @param steps how engines are ended; in order unless told @returns whether there was anything
 */
export async function clearLab(steps?: readonly Step[], dir = labDir): Promise<boolean> {
  if (!existsSync(hostsOf(dir)) || !canHave()) return false
  const release = await takeLab(patienceMs, dir).catch(() => undefined)
  if (!release) return false
  try {
    return await clearHosts(hostsOf(dir), steps)
  } finally {
    await release()
  }
}

const canHave = (): boolean => {
  try {
    ensureHostsPossible()
    return true
  } catch {
    return false
  }
}
