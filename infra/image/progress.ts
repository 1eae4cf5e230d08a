/** What is being done, for a person who waits. */
export type Progress = {
  phase: 'base' | 'node' | 'build'
  /** The Dockerfile's current step and how many it has; only in phase `build`, once known. */
  step?: number
  steps?: number
  /** One line. */
  text: string
}

export type OnProgress = (progress: Progress) => void

/**
 * Lets at most one report per `intervalMs` through, so that thousands of lines of apt don't flood whoever shows them. A new
 * step or phase always comes through.
 */
export const throttled = (
  onProgress: OnProgress | undefined,
  intervalMs = 500,
  now: () => number = Date.now,
): OnProgress => {
  let lastAt = Number.NEGATIVE_INFINITY
  let lastStage = ''
  return progress => {
    const stage = `${progress.phase} ${progress.step}`
    if (stage === lastStage && now() - lastAt < intervalMs) return
    lastAt = now()
    lastStage = stage
    onProgress?.(progress)
  }
}
