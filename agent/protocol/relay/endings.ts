import { Roster } from '../roster.ts'
import type { Exchange } from './exchange.ts'

type Ended = Pick<Exchange, 'stop'>
type Sharers = { roster: Roster<Ended>; unlisten: () => void }

/**
 * Stops exchanges when their signal is aborted. Those of one signal, as of one container, share one listener: listeners hold on
 * to those that were added after them even when they are removed, so one for each request would make all of them old
 * (see `Roster`).
 */
export function createEndings() {
  const bySignal = new WeakMap<AbortSignal, Sharers>()

  const listen = (signal: AbortSignal): Sharers => {
    const roster = new Roster<Ended>()
    const onAbort = () => {
      for (const exchange of roster.all()) exchange.stop('closed')
    }
    signal.addEventListener('abort', onAbort)
    const unlisten = () => {
      signal.removeEventListener('abort', onAbort)
      bySignal.delete(signal)
    }
    const sharers = { roster, unlisten }
    bySignal.set(signal, sharers)
    return sharers
  }

  return {
    /** @returns what to call when it has ended by itself */
    end(exchange: Ended, signal: AbortSignal): () => void {
      const { roster, unlisten } = bySignal.get(signal) ?? listen(signal)
      const place = roster.enter(exchange)
      return () => {
        roster.leave(place)
        if (roster.size === 0) unlisten()
      }
    },
  }
}

export type Endings = ReturnType<typeof createEndings>
