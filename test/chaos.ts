import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { tell } from '../infra/dev/explained.ts'
import { createProgress, screenOf } from '../infra/dev/progress.ts'
import { stopSignals } from '../infra/dev/signals.ts'
import { type Ending, tearDown } from '../infra/dev/teardown.ts'
import { ensureHostsPossible } from '../infra/hosts/ability.ts'
import { faults } from './chaos/faults.ts'
import { chaosUsage, parseChaos } from './chaos/options.ts'
import { evidenceVariable, inheritedEnv, readRunnerConfig } from './kit/config.ts'
import { createEvidenceFolder } from './kit/evidence-folder.ts'
import { runShown } from './kit/run-program.ts'
import { prepareWorld } from './kit/world.ts'

// npm run chaos: breaks a lab on purpose, for as long as one wants.
const root = join(import.meta.dirname, '..')
const screen = screenOf(process.stderr)
const progress = createProgress(screen)
const config = readRunnerConfig()
const names = faults.map(({ name }) => name)
const request = parseChaos(process.argv.slice(2), names, () => 0)
const endings: Ending[] = []

if (request.kind === 'help') screen.write(`${chaosUsage(names)}\n`)
else if (request.kind === 'refused') {
  screen.write(`${request.message}\n`)
  process.exitCode = 2
} else {
  const { stop, force } = stopSignals(progress.note)
  process.exitCode = await run(stop).catch(error => {
    if (!stop.aborted) screen.write(`\n${tell(error, config.verbose)}\n`)
    return 1
  })
  const quiet = { note: () => {}, step: () => ({ update() {}, done() {}, fail() {}, drop() {} }) }
  for (const failure of await tearDown(endings, quiet, force)) screen.write(`${failure}\n`)
}
process.exit()

async function run(signal: AbortSignal): Promise<number> {
  ensureHostsPossible()
  const evidence = createEvidenceFolder(false)
  const world = await prepareWorld({ root, config, progress, endings, evidence, signal })
  const code = await runShown(process.execPath, [join(root, 'test/chaos/long.ts'), ...process.argv.slice(2)], {
    cwd: root,
    env: { ...inheritedEnv(), ...world, [evidenceVariable]: evidence },
    signal,
  })
  if (code === 0) rmSync(evidence, { recursive: true, force: true })
  else screen.write(`The logs of gateways, agents and containers are kept in ${evidence}\n`)
  return code
}
