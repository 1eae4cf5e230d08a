/** The engine did not answer, or not in time. Says nothing about what exists. */
export class EngineUnavailable extends Error {
  override readonly name = 'EngineUnavailable'
}

/** The engine answered with an error of its own. */
export class EngineRefused extends Error {
  override readonly name = 'EngineRefused'
  /** HTTP status of the engine's answer. */
  readonly status: number
  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.status = status
  }
}

export type EngineError = EngineUnavailable | EngineRefused

export const isEngineError = (error: unknown): error is EngineError =>
  error instanceof EngineUnavailable || error instanceof EngineRefused

/** Whether the engine itself said that the thing does not exist. */
export const isAbsent = (error: unknown): boolean => error instanceof EngineRefused && error.status === 404

/** Whether the engine said that the request does not fit what exists: a name in use, a volume in use. */
export const isConflict = (error: unknown): boolean => error instanceof EngineRefused && error.status === 409
