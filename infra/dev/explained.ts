/** A failure told in full to the person at the terminal: what, where, what to do. Printed without a stack trace. */
export class Explained extends Error {
  override readonly name = 'Explained'
}

/** What to print about an error that ends a command; with `verbose`, stack and causes too. */
export function tell(error: unknown, verbose: boolean): string {
  if (verbose && error instanceof Error) return withCauses(error)
  if (error instanceof Explained) return error.message
  const message = error instanceof Error ? error.message : String(error)
  return `${message}\nThis was not expected: run it again with DEBUG=1 to see where it comes from.`
}

const withCauses = (error: Error): string =>
  error.cause instanceof Error ? `${error.stack}\ncaused by: ${withCauses(error.cause)}` : String(error.stack)
