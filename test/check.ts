import { join } from 'node:path'
import { tell } from '../infra/dev/explained.ts'
import { createProgress, screenOf } from '../infra/dev/progress.ts'
import { stopSignals } from '../infra/dev/signals.ts'
import { inheritedEnv, readRunnerConfig } from './kit/config.ts'
import { findTests } from './kit/files.ts'
import { lint } from './kit/lint.ts'
import { runShown } from './kit/run-program.ts'

// npm run check: types, style, architecture and unit tests, in under a minute and without Docker or Postgres.
const root = join(import.meta.dirname, '..')
const screen = screenOf(process.stderr)
const progress = createProgress(screen)
const { stop } = stopSignals(progress.note)

process.exitCode = await check().catch(error => {
  if (!stop.aborted) screen.write(`\n${tell(error, readRunnerConfig().verbose)}\n`)
  return 1
})
process.exit()

async function check(): Promise<number> {
  const run = { cwd: root, env: inheritedEnv(), signal: AbortSignal.any([stop, AbortSignal.timeout(180_000)]) }
  const { unit } = await findTests(root, process.argv.slice(2))
  const complaints = await lint(progress, run)
  if (complaints) screen.write(`\n${complaints}\n\n`)
  const tests = await runShown(
    process.execPath,
    ['--test', '--test-timeout=30000', '--test-reporter=spec', '--test-force-exit', ...unit],
    run,
  )
  if (complaints) screen.write('\nTypes or style need work: see above the tests.\n')
  return complaints ? 1 : tests
}
