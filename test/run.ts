import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { tell } from '../infra/dev/explained.ts'
import { createProgress, screenOf } from '../infra/dev/progress.ts'
import { stopSignals } from '../infra/dev/signals.ts'
import { type Ending, tearDown } from '../infra/dev/teardown.ts'
import { evidenceVariable, inheritedEnv, readRunnerConfig } from './kit/config.ts'
import { createEvidenceFolder } from './kit/evidence-folder.ts'
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
  const evidence = createEvidenceFolder(words.length === 0)
  // The last to go: until then Postgres writes its log into it.
  const remove = async () => rmSync(evidence, { recursive: true, force: true })
  endings.push({ title: 'Logs of the tests', stop: remove, force: remove })
  const preparing = { root, config, progress, endings, evidence, signal: stop }
  const world = files.real.length > 0 ? await prepareWorld(preparing) : {}
  const flags = [
    `--test-concurrency=${atOnce}`,
    `--test-timeout=${testTimeoutMs}`,
    `--test-reporter=${join(root, 'test/kit/evidence-reporter.ts')}`,
    '--test-force-exit',
  ]
  return await runShown(process.execPath, ['--test', ...flags, ...files.unit, ...files.real], {
    cwd: root,
    env: { ...env, ...world, [evidenceVariable]: evidence },
    signal: AbortSignal.any([stop, AbortSignal.timeout(wholeTimeoutMs)]),
  })
}
