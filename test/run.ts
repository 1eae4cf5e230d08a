import { join } from 'node:path'
import { tell } from '../infra/dev/explained.ts'
import { createProgress, screenOf } from '../infra/dev/progress.ts'
import { stopSignals } from '../infra/dev/signals.ts'
import { type Ending, tearDown } from '../infra/dev/teardown.ts'
import { inheritedEnv, readRunnerConfig } from './kit/config.ts'
import { findTests } from './kit/files.ts'
import { lint } from './kit/lint.ts'
import { runShown } from './kit/run-program.ts'
import { prepareWorld } from './kit/world.ts'

// npm test: everything. npm test -- <part of a path> …: the tests whose file it names, without types and style.
// Progress goes to standard error: the last lines of standard output are those of the test runner.
const root = join(import.meta.dirname, '..')
const words = process.argv.slice(2)
const screen = screenOf(process.stderr)
const progress = createProgress(screen)
const config = readRunnerConfig()
const { stop, force } = stopSignals(progress.note)
const endings: Ending[] = []

/** Real browsers and engines share the machine's cores with their tests. */
const atOnce = 2
const testTimeoutMs = 120_000
const wholeTimeoutMs = 40 * 60_000

process.exitCode = await run().catch(error => {
  if (!stop.aborted) screen.write(`\n${tell(error, config.verbose)}\n`)
  return 1
})
const quiet = { note: () => {}, step: () => ({ update() {}, done() {}, fail() {}, drop() {} }) }
for (const failure of await tearDown(endings, quiet, force)) screen.write(`${failure}\n`)
process.exit()

async function run(): Promise<number> {
  const files = await findTests(root, words)
  if (files.unit.length + files.real.length === 0) {
    screen.write(`No test file's path holds ${words.join(' or ')}.\n`)
    return 1
  }
  const env = inheritedEnv()
  if (words.length === 0) {
    const complaints = await lint(progress, { cwd: root, env, signal: stop })
    if (complaints) {
      screen.write(`\n${complaints}\n\nNothing was tested yet: the above comes first.\n`)
      return 1
    }
  }
  const world = files.real.length > 0 ? await prepareWorld({ root, config, progress, endings, signal: stop }) : {}
  const flags = [
    `--test-concurrency=${atOnce}`,
    `--test-timeout=${testTimeoutMs}`,
    '--test-reporter=spec',
    '--test-force-exit',
  ]
  return await runShown(process.execPath, ['--test', ...flags, ...files.unit, ...files.real], {
    cwd: root,
    env: { ...env, ...world },
    signal: AbortSignal.any([stop, AbortSignal.timeout(wholeTimeoutMs)]),
  })
}
