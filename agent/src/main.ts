import { startAgent } from './agent.ts'
import { ConfigError, readConfig } from './config.ts'
import { EngineNotFound } from './engine/locate.ts'
import { FirewallUnavailable } from './firewall/iptables.ts'
import { JoinRefused } from './joining.ts'
import { createLog } from './log.ts'

/** Milliseconds after which the process ends whatever is still under way. */
const exitMs = 4500

const log = createLog('info')

/** Failures that the operator can mend are one line of plain words; anything else is told with its stack. */
const isForOperator = (error: unknown): error is Error =>
  error instanceof ConfigError ||
  error instanceof EngineNotFound ||
  error instanceof FirewallUnavailable ||
  error instanceof JoinRefused

const run = async (): Promise<void> => {
  const config = readConfig()
  log.level = config.logLevel
  let stop = (_reason: string): void => process.exit(0)
  process.once('SIGTERM', () => stop('SIGTERM'))
  process.once('SIGINT', () => stop('SIGINT'))
  if (config.exitWithParent) process.once('disconnect', () => stop('parent gone'))

  const agent = await startAgent(config, log)
  stop = reason => {
    log.info({ reason }, 'stopping, runtimes stay')
    setTimeout(() => process.exit(0), exitMs).unref()
    void agent.close().finally(() => process.exit(0))
  }
  log.info({ host: agent.hostId, url: agent.url }, 'ready')
  process.send?.({ type: 'ready', url: agent.url, hostId: agent.hostId })
}

try {
  await run()
} catch (error) {
  if (isForOperator(error)) log.fatal(error.message)
  else log.fatal({ err: error }, 'agent failed to start')
  process.exitCode = 1
  process.disconnect?.()
}
