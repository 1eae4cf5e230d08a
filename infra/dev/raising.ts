import type { UpConfig } from './config.ts'
import type { Shape } from './options.ts'
import type { Progress } from './progress.ts'
import type { State } from './state.ts'
import type { Ending } from './teardown.ts'

/** What every piece is started with. */
export type Raising = {
  config: UpConfig
  shape: Shape
  state: State
  progress: Progress
  /** Every started thing is put here at once, so that a failure later on leaves nothing. */
  endings: Ending[]
  signal: AbortSignal
}
