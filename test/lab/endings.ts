/** How each started thing ends, in the order of their starts. */
export type Ends = (() => Promise<unknown>)[]

/** The last started first; one that fails does not keep the others. */
export async function closeAll(endings: Ends): Promise<void> {
  const failures: unknown[] = []
  for (let end = endings.pop(); end; end = endings.pop()) await end().catch(error => failures.push(error))
  if (failures.length > 0)
    throw new AggregateError(failures, `closing the lab left something behind: ${failures.join('; ')}`)
}
