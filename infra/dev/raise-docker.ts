import type Docker from 'dockerode'
import { forcedDaemonStop } from '../docker/daemon.ts'
import { findOrStartEngine } from '../docker/engine.ts'
import { ensureImage, ImageError } from '../image/build.ts'
import { Explained } from './explained.ts'
import { inStep, type ProgressStep } from './progress.ts'
import type { Raising } from './raising.ts'

export type RaisedDocker = Awaited<ReturnType<typeof raiseDocker>>

/** The Docker engine, and the browser image in it. */
export async function raiseDocker({ config, state, progress, endings, signal }: Raising) {
  const engine = await inStep(
    progress,
    'Docker engine',
    step => findOrStartEngine({ stateDir: state.dir, onProgress: step.update, signal }),
    ({ dockerHost }) => dockerHost,
  )
  const daemon = engine.startedByUs
  if (daemon) {
    endings.unshift({
      title: 'Docker engine',
      stop: () => daemon.stop(),
      force: () => daemon.stop(forcedDaemonStop),
    })
  }
  const { docker, dockerHost } = engine
  if (config.image) return { docker, dockerHost, image: config.image }
  const { tag } = await inStep(
    progress,
    'Browser image',
    step => imageOf(docker, step, signal),
    image => (image.built ? `built ${image.tag}` : image.tag),
  )
  return { docker, dockerHost, image: tag }
}

async function imageOf(docker: Docker, step: ProgressStep, signal: AbortSignal) {
  try {
    return await ensureImage({
      docker,
      signal,
      onProgress: at => step.update(at.step ? `step ${at.step} of ${at.steps}: ${at.text}` : at.text),
    })
  } catch (cause) {
    throw cause instanceof ImageError ? new Explained(cause.message, { cause }) : cause
  }
}
