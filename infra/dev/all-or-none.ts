/**
 * Runs two pieces of work side by side. When one fails the other is aborted and awaited before the failure is thrown, so
 * that nothing is still starting afterwards.
 */
export async function allOrNone<A, B>(
  signal: AbortSignal,
  begin: (signal: AbortSignal) => [Promise<A>, Promise<B>],
): Promise<[A, B]> {
  const failed = new AbortController()
  const [first, second] = begin(AbortSignal.any([signal, failed.signal]))
  let cause: unknown
  for (const work of [first, second]) {
    work.catch(error => {
      cause ??= error
      failed.abort()
    })
  }
  await Promise.allSettled([first, second])
  if (failed.signal.aborted) throw cause
  return await Promise.all([first, second])
}
