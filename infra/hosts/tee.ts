import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'

/**
 * Writes all that is read into each of the outlets, as fast as the slowest takes it, and ends them.
 * @throws what broke the source, or the first outlet that broke
 */
export async function tee(
  source: Readable,
  outlets: readonly Writable[],
  onBytes: (total: number) => void,
  signal: AbortSignal,
): Promise<void> {
  let total = 0
  for await (const chunk of source) {
    await Promise.all(
      outlets.map(async outlet => {
        if (!outlet.write(chunk)) await once(outlet, 'drain', { signal })
      }),
    )
    total += chunk.length
    onBytes(total)
  }
  for (const outlet of outlets) outlet.end()
}
