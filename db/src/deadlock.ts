/** How often is tried what Postgres ends because it waits for another, and the other for it. */
export const deadlockTries = 5

/** SQLSTATE 40P01, deadlock_detected; drizzle puts its own error around Postgres's. */
const isDeadlock = (error: unknown): boolean =>
  error instanceof Error && (('code' in error && error.code === '40P01') || isDeadlock(error.cause))

/**
 * Does a whole transaction again that a deadlock has ended: nothing of it was done, and the other has what it waited for by now.
 *
 * @param most times that it is done; 1 within another transaction, where there is nothing left to do it in
 */
export const againAfterDeadlock = async <T>(work: () => PromiseLike<T>, most = deadlockTries): Promise<T> => {
  for (let n = 1; ; n++) {
    try {
      return await work()
    } catch (error) {
      if (n >= most || !isDeadlock(error)) throw error
    }
  }
}
