import { openSync, writeSync } from 'node:fs'
import { createLog as createAgentLog } from '../../agent/src/log.ts'
import { createLog } from '../../gateway/src/log.ts'
import { watchCredentials } from './credentials.ts'
import { evidence } from './evidence.ts'

/**
 * The log of a gateway (or of a part of one) that runs in a test's own process: made as the product makes it, at its most
 * talkative, into a file that is searched for secrets when all tests have run.
 */
export const testLog = (name: string) => createLog('trace', destination(name))

/** The same of an agent. */
export const agentTestLog = (name: string) => createAgentLog('trace', destination(name))

function destination(name: string): { write(line: string): void } {
  watchCredentials()
  // Written at once: what is in it when the process ends is all of it.
  const file = openSync(evidence.logFile(name), 'a', 0o600)
  return { write: line => void writeSync(file, line) }
}
