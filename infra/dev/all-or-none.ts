/**
 * Runs pieces of work side by side. When one fails the others are aborted and awaited before the failure is thrown, so
 * that nothing is still starting afterwards.
 */
export async function eachOrNone<T>(
  signal: AbortSignal,
  begin: (signal: AbortSignal) => readonly Promise<T>[],
): Promise<T[]> {
  const failed = new AbortController()
  const works = begin(AbortSignal.any([signal, failed.signal]))
  let cause: unknown
  for (const work of works) {
    work.catch(error => {
      cause ??= error
      failed.abort()
    })
  }
  await Promise.allSettled(works)
  if (failed.signal.aborted) throw cause
  return await Promise.all(works)
}

/** The same for two pieces of different kinds. */
export async function allOrNone<A, B>(
  signal: AbortSignal,
  begin: (signal: AbortSignal) => readonly [Promise<A>, Promise<B>],
): Promise<[A, B]> {
  let pair: readonly [Promise<A>, Promise<B>] | undefined
  await eachOrNone<A | B>(signal, ends => {
    pair = begin(ends)
    return pair
  })
  const [first, second] = pair as readonly [Promise<A>, Promise<B>]
  return [await first, await second]
}
