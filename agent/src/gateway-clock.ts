import { timeHeader } from '@porthole/protocol'
import type { Logger } from 'pino'

/**
 * What time it is for the gateway, which is what tokens both ways are minted and judged by: a host whose own clock is wrong
 * must neither fall silent nor take what has expired.
 *
 * The time comes with answers to joins and heartbeats, over the same connection as the gateway's keys. Whoever can forge
 * it can hand out keys of his own, and needs no old token: believing it gives nothing to anybody who has not all already.
 * It is heard in refusals too, because a host with a wrong clock gets no other answer.
 */
export type GatewayClock = {
  /** Milliseconds since the epoch. This host's own clock until the gateway has said something. */
  now(): number
  /** A way to call the gateway that listens for the time. */
  listening(send: typeof fetch): typeof fetch
}

/** A host that is further off than any time zone has more to mend than its tokens: it goes by its own clock, and is told. */
const mostMs = 24 * 3_600_000
/** Milliseconds by which this host's clock may be wrong before its operator is told. */
const toldMs = 5000
/** An answer is not heard when it took longer: nobody knows when in between it was written. */
const vagueMs = 15_000

/**
 * @param local this host's time of day
 * @param elapsed milliseconds of a clock that only moves forward
 */
export const createGatewayClock = (
  log: Logger,
  { local = Date.now, elapsed = () => performance.now() } = {},
): GatewayClock => {
  let heard: { time: number; at: number } | undefined
  let told: string | undefined

  const tell = (aheadMs: number) => {
    const size = Math.abs(aheadMs)
    const what =
      size > mostMs
        ? "this host's clock is more than a day off: the gateway will refuse it until it is set"
        : size > toldMs
          ? "this host's clock is not the gateway's, which counts: set it"
          : undefined
    if (what !== undefined && what !== told) log.warn({ aheadMs }, what)
    told = what
  }

  const hear = (said: string | null) => {
    if (said === null || !/^\d{1,15}$/.test(said)) return
    const time = Number(said)
    const aheadMs = Math.round(local() - time)
    tell(aheadMs)
    heard = Math.abs(aheadMs) > mostMs ? undefined : { time, at: elapsed() }
  }

  return {
    now: () => Math.round(heard ? heard.time + elapsed() - heard.at : local()),
    listening: send => async (input, init) => {
      const askedAt = elapsed()
      const answer = await send(input, init)
      if (elapsed() - askedAt < vagueMs) hear(answer.headers.get(timeHeader))
      return answer
    },
  }
}
