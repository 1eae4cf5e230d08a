import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inStep, type Progress } from '../../infra/dev/progress.ts'
import type { Ending } from '../../infra/dev/teardown.ts'
import { forcedDaemonStop } from '../../infra/docker/daemon.ts'
import { findOrStartEngine } from '../../infra/docker/engine.ts'
import { ensureSpace } from '../../infra/docker/space.ts'
import { ensureImage } from '../../infra/image/build.ts'
import { startPostgres } from '../../infra/postgres/embedded.ts'
import { immediateStop } from '../../infra/postgres/leftover.ts'
import { clearLab } from '../lab/clear.ts'
import { names, type RunnerConfig } from './config.ts'
import { placesIn } from './evidence-folder.ts'
import { findChromium } from './find-chromium.ts'

export type Preparing = {
  root: string
  config: RunnerConfig
  progress: Progress
  /** What to end afterwards is put here at once. */
  endings: Ending[]
  /** Where the logs of the run are kept, see evidence-folder.ts. */
  evidence: string
  signal: AbortSignal
}

/** Everything the tests of the real world need, as settings by their names in the environment. */
export async function prepareWorld(preparing: Preparing): Promise<Record<string, string>> {
  ensureSpace(preparing.root, 'this repo')
  const { config, progress, signal } = preparing
  // One after the other where both would call apt.
  const docker = await prepareDocker(preparing)
  const chromium = await inStep(
    progress,
    'Chromium',
    step => findChromium(config, { onProgress: step.update, signal }),
    path => path,
  )
  const databaseUrl = await preparePostgres(preparing)
  // A test file that was killed, or cut off by Ctrl-C, could not close its own.
  preparing.endings.push({ title: 'Lab', stop: () => clearLab(), force: () => clearLab(forcedDaemonStop) })
  return {
    [names.dockerHost]: docker.dockerHost,
    [names.image]: docker.image,
    [names.chromium]: chromium,
    [names.databaseUrl]: databaseUrl,
  }
}

async function prepareDocker({ root, progress, endings, signal }: Preparing) {
  // A folder of its own, so that a daemon started here and one started by `npm run up` are told apart.
  const stateDir = join(root, '.porthole/test')
  mkdirSync(stateDir, { recursive: true })
  const { docker, dockerHost, startedByUs } = await inStep(
    progress,
    'Docker engine',
    step => findOrStartEngine({ stateDir, onProgress: step.update, signal }),
    engine => engine.dockerHost,
  )
  if (startedByUs) {
    endings.push({
      title: 'Docker engine',
      stop: () => startedByUs.stop(),
      force: () => startedByUs.stop(forcedDaemonStop),
    })
  }
  const image = await inStep(
    progress,
    'Browser image',
    step => ensureImage({ docker, onProgress: at => step.update(at.text), signal }),
    ({ tag }) => tag,
  )
  return { dockerHost, image: image.tag }
}

async function preparePostgres({ progress, endings, evidence, signal }: Preparing): Promise<string> {
  return await inStep(progress, 'Postgres', async step => {
    const dir = mkdtempSync(join(tmpdir(), 'porthole-test-postgres-'))
    const postgres = await startPostgres({ dir, fsync: false, onProgress: step.update, signal })
    const remove = () => rmSync(dir, { recursive: true, force: true })
    endings.push({
      title: 'Postgres',
      stop: () => postgres.stop().then(remove),
      force: () => postgres.stop(immediateStop).then(remove),
    })
    // A log like the others: what fails in it is written down with its statement. Elsewhere when `dir` is no place for it.
    const log = join(dir, 'postgres.log')
    if (existsSync(log)) symlinkSync(log, join(placesIn(evidence).logs, 'postgres.log'))
    return postgres.url
  })
}
