import { within } from './containers.ts'
import { inStep, type Progress } from './progress.ts'

/** How one started thing ends: in order (a string it resolves to is shown), or at once when the person does not want to wait. */
export type Ending = { title: string; stop(): Promise<unknown>; force(): Promise<unknown> }

const forcedWithin = 8_000

/**
 * Ends everything, the last started first. One that fails does not keep the others; what it said is returned. Once
 * `forced` is aborted, all that is left ends at once.
 */
export async function tearDown(endings: readonly Ending[], progress: Progress, forced: AbortSignal): Promise<string[]> {
  const left = [...endings]
  const failures: string[] = []
  const failed = (title: string, error: unknown) =>
    failures.push(`${title}: ${error instanceof Error ? error.message : String(error)}`)
  const abort = aborted(forced)

  for (let ending = left.at(-1); ending && !forced.aborted; ending = left.at(-1)) {
    const { title, stop } = ending
    const work = inStep(progress, title, stop, told => (typeof told === 'string' ? told : 'stopped')).catch(error =>
      failed(title, error),
    )
    await Promise.race([work, abort])
    if (!forced.aborted) left.pop()
  }
  await Promise.all(left.map(({ title, force }) => within(forcedWithin, force()).catch(error => failed(title, error))))
  return failures
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise(resolve => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
