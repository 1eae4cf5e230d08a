import { MigrationLocked } from '@porthole/db'
import { bootstrap } from './bootstrap.ts'
import { ConfigError, readConfig } from './config.ts'
import { createLog } from './log.ts'
import { serve } from './server.ts'
import { SealError } from './tokens/seal.ts'

const usage = `usage: gateway [serve]
       gateway bootstrap [--tenant SLUG] [--mode MODE] [--owner OWNER]   prints first tokens as JSON`

const run = async () => {
  const [command = 'serve', ...args] = process.argv.slice(2)
  const config = readConfig()
  if (command === 'bootstrap') {
    process.stdout.write(`${JSON.stringify(await bootstrap(config, args))}\n`)
    return
  }
  if (command !== 'serve') throw new ConfigError(usage)

  const log = createLog(config.logLevel)
  const gateway = await serve(config, log)
  let closing = false
  const close = async (why: string) => {
    if (closing) return
    closing = true
    log.info({ why }, 'gateway closing')
    // Should something hang, the process ends all the same: its work is taken over.
    setTimeout(() => process.exit(1), 8000).unref()
    await gateway.close()
    process.exit(0)
  }
  process.on('SIGTERM', () => void close('SIGTERM'))
  process.on('SIGINT', () => void close('SIGINT'))
  if (config.exitWithParent) process.on('disconnect', () => void close('parent gone'))
  process.send?.({ type: 'ready', url: gateway.url })
}

run().catch(error => {
  // What the operator can mend is said in a sentence; anything else with its trace.
  const isOurs = error instanceof ConfigError || error instanceof SealError || error instanceof MigrationLocked
  process.stderr.write(`gateway: ${isOurs ? error.message : (error?.stack ?? error)}\n`)
  process.exit(1)
})
