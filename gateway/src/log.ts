import { type DestinationStream, type Logger, pino } from 'pino'

/** What of an error may be logged: never a query's parameters, which hold whatever a tenant has sent. */
const told = (error: unknown, depth = 0): Record<string, unknown> | undefined => {
  if (!(error instanceof Error) || depth > 4) return undefined
  const isQuery = 'query' in error
  return {
    type: error.name,
    message: isQuery ? 'a query failed' : error.message,
    ...('code' in error ? { code: error.code } : {}),
    ...(isQuery ? {} : { stack: error.stack }),
    ...(error.cause === undefined ? {} : { cause: told(error.cause, depth + 1) }),
  }
}

/** One JSON line per unit of work, on standard output unless told otherwise. */
export const createLog = (level: string, destination?: DestinationStream): Logger =>
  pino({ level, base: undefined, serializers: { err: error => told(error) } }, destination ?? pino.destination(1))
