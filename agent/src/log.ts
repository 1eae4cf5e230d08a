import { type DestinationStream, type Logger, pino } from 'pino'

/**
 * What of an error may be logged: its words and where it was thrown. Not its other fields, which are whatever a library
 * has put there, such as an answer's body or a request's headers.
 */
const told = (error: unknown, depth = 0): Record<string, unknown> | undefined => {
  if (!(error instanceof Error) || depth > 4) return undefined
  return {
    type: error.name,
    message: error.message,
    ...('code' in error ? { code: error.code } : {}),
    stack: error.stack,
    ...(error.cause === undefined ? {} : { cause: told(error.cause, depth + 1) }),
  }
}

/** One JSON line per unit of work, on standard output unless told otherwise. */
export const createLog = (level: string, destination?: DestinationStream): Logger =>
  pino(
    { level, base: { part: 'agent' }, serializers: { err: error => told(error) } },
    destination ?? pino.destination(1),
  )
