/**
 * Waits for a query no longer than `ms` milliseconds: a query cannot be cut short; waiting for it can.
 *
 * @throws what counts as the database being away, when the time is over
 */
export const within = async <T>(ms: number, query: Promise<T>): Promise<T> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error('the database is slow'), { code: 'CONNECT_TIMEOUT' })), ms)
  })
  try {
    return await Promise.race([query, late])
  } finally {
    clearTimeout(timer)
    query.catch(() => {})
  }
}
