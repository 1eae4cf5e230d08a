/** As many wait for their turn as may. */
export class TurnsTaken extends Error {
  override name = 'TurnsTaken'
}

/**
 * Lets `atOnce` pieces of work go on at a time, first come, first served.
 *
 * @param mostWaiting pieces that wait at most; one more throws `TurnsTaken`
 */
export const takeTurns = (atOnce: number, mostWaiting: number) => {
  const waiting: (() => void)[] = []
  let working = 0
  return async <Result>(work: () => Promise<Result>): Promise<Result> => {
    if (waiting.length >= mostWaiting) throw new TurnsTaken(`${mostWaiting} wait for their turn`)
    if (working < atOnce) working += 1
    // The one before hands its place over: nobody who comes meanwhile gets it.
    else await new Promise<void>(resolve => waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next) next()
      else working -= 1
    }
  }
}
