import { createHash } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Heartbeat,
  type HeartbeatAnswer,
  heartbeatAnswer,
  heartbeatAudience,
  heartbeatPath,
  maxLifetimeSeconds,
} from '@porthole/protocol'
import { type CryptoKey, SignJWT } from 'jose'
import type { Logger } from 'pino'
import type { Inventory } from './inventory.ts'

/** Milliseconds. A failed one is repeated sooner: the gateway takes 20 s of silence for an outage. */
const usualMs = 5000
const retryMs = 2000
const tryMs = 5000
/** Everything is told anew this often, changed or not. */
const fullMs = 30_000
const soonestMs = 200
const latestMs = 60_000
/** A token is used again for so long, half of its life: what is left is for clocks that stray. Signing and checking cost more than the rest. */
const tokenSeconds = maxLifetimeSeconds / 2

/** Tells the gateway how this host is, for as long as it lives. */
export type Heartbeats = {
  /** Until aborted. Failures are logged when they change, and tried again. */
  run(signal: AbortSignal): Promise<void>
  /** Brings the next one forward, because something has ended. */
  nudge(): void
}

export const createHeartbeats = (deps: {
  gatewayUrl: string
  hostId: string
  privateKey: CryptoKey
  inventory: Inventory
  /** Told of every answer to a full heartbeat. */
  onAnswer?: (answer: HeartbeatAnswer) => Promise<void>
  log: Logger
  fetch?: typeof fetch
  /** 0 to 1. */
  random?: () => number
  /** Milliseconds since the epoch, by the gateway's clock. */
  now?: () => number
}): Heartbeats => {
  const { gatewayUrl, hostId, privateKey, inventory, log } = deps
  const send = deps.fetch ?? fetch
  const random = deps.random ?? Math.random
  const now = deps.now ?? Date.now
  const nudges = new EventEmitter<{ nudge: [] }>()
  let failure: string | undefined
  let removing: Promise<void> | undefined

  /** What the gateway has accepted in full, and when. */
  let accepted: { revision: string; at: number } | undefined

  /** In full when something has changed, and now and then: what should be may have changed too. */
  const shortened = (told: Heartbeat): { said: Heartbeat; revision: string | undefined } => {
    if (!told.runtimes) return { said: told, revision: undefined }
    const revision = createHash('sha256').update(JSON.stringify(told.runtimes)).digest('base64url')
    const { runtimes: _, ...rest } = told
    const isKnown = accepted?.revision === revision && performance.now() - accepted.at < fullMs
    return isKnown ? { said: { ...rest, revision }, revision: undefined } : { said: { ...told, revision }, revision }
  }

  let token: { text: string; at: number } | undefined
  const currentToken = async (): Promise<string> => {
    const at = Math.floor(now() / 1000)
    if (token && at >= token.at && at - token.at < tokenSeconds) return token.text
    const text = await new SignJWT()
      .setProtectedHeader({ alg: 'EdDSA' })
      .setIssuer(hostId)
      .setAudience(heartbeatAudience)
      .setIssuedAt(at)
      .setExpirationTime(at + maxLifetimeSeconds)
      .sign(privateKey)
    token = { text, at }
    return text
  }

  const beat = async (signal: AbortSignal): Promise<number> => {
    const { said, revision } = shortened(await inventory.take())
    const answer = await send(`${gatewayUrl}${heartbeatPath(hostId)}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${await currentToken()}` },
      body: JSON.stringify(said),
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(tryMs)]),
    })
    if (!answer.ok) {
      // Its time may be what the gateway did not like: the answer has told the right one.
      token = undefined
      await answer.body?.cancel()
      throw new Error(refusal(answer.status))
    }
    const parsed = heartbeatAnswer.parse(await answer.json())
    if (revision !== undefined) {
      accepted = { revision, at: performance.now() }
      // Not waited for: a container that is slow to stop must not make the host look silent.
      if (!removing)
        removing = deps
          .onAnswer?.(parsed)
          .catch(err => log.warn({ err }, 'answer to a heartbeat could not be carried out'))
          .finally(() => {
            removing = undefined
          })
    }
    return parsed.nextMs
  }

  /** Milliseconds until the next one. */
  const beatOnce = async (signal: AbortSignal): Promise<number> => {
    try {
      const nextMs = await beat(signal)
      if (failure !== undefined) log.info({ host: hostId }, 'gateway takes heartbeats again')
      failure = undefined
      return Math.min(Math.max(nextMs, soonestMs), latestMs)
    } catch (error) {
      if (signal.aborted) return usualMs
      const why = describe(error)
      if (why !== failure) log.warn({ host: hostId, gateway: gatewayUrl, failure: why }, 'heartbeat failed')
      failure = why
      return retryMs
    }
  }

  /** A tenth either way, so that the hosts of a fleet don't beat as one. */
  const jittered = (ms: number): number => ms * (0.9 + 0.2 * random())

  const pause = async (ms: number, signal: AbortSignal): Promise<void> => {
    const over = new AbortController()
    const both = AbortSignal.any([signal, over.signal])
    const waits = [sleep(ms, undefined, { signal: both }), once(nudges, 'nudge', { signal: both })]
    await Promise.race(waits).catch(() => undefined)
    over.abort()
    await Promise.allSettled(waits)
  }

  return {
    nudge: () => nudges.emit('nudge'),
    run: async signal => {
      while (!signal.aborted) {
        const startedAt = performance.now()
        const next = jittered(await beatOnce(signal))
        await pause(next, signal)
        const rest = soonestMs - (performance.now() - startedAt)
        if (rest > 0) await pause(rest, signal)
      }
    },
  }
}

const refusal = (status: number): string =>
  status === 401 || status === 403 || status === 404 || status === 410
    ? `the gateway does not know this host (status ${status}); join it again with a new PORTHOLE_JOIN_TOKEN`
    : `status ${status}`

const describe = (error: unknown): string => {
  if (!(error instanceof Error)) return 'no answer'
  return error.cause instanceof Error ? error.cause.message : error.message
}
