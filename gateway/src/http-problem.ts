import { HTTPException } from 'hono/http-exception'
import { Problem, problemOf } from './problem.ts'

/** Hono's own refusals (malformed JSON, another media type) in our form. */
export const toProblem = (error: unknown): Problem => {
  if (!(error instanceof HTTPException)) return problemOf(error)
  if (error.status === 413) return new Problem('too-large', { cause: error })
  if (error.status === 415)
    return new Problem('unsupported-media-type', { detail: 'send Content-Type: application/json', cause: error })
  return new Problem('invalid-request', { detail: error.message, cause: error })
}
