import { setTimeout as sleep } from 'node:timers/promises'
import { challengeAudience, type JoinRequest, joinAnswer, maxLifetimeSeconds } from '@porthole/protocol'
import { type CryptoKey, SignJWT } from 'jose'
import type { Logger } from 'pino'
import { z } from 'zod'

/** The gateway does not take this host; trying again would not help. */
export class JoinRefused extends Error {
  override readonly name = 'JoinRefused'
}

/** Milliseconds: between tries, for one try (the gateway calls back within it), and in all: a token lives five minutes. */
const firstPauseMs = 250
const longestPauseMs = 5000
const tryMs = 20_000
const joinMs = 5 * 60_000

/** Answers the gateway's challenge, only while this host is joining. */
export type Challenges = {
  prove(nonce: string): Promise<string | undefined>
  /** Answers challenges for as long as `work` takes. */
  during<T>(work: () => Promise<T>): Promise<T>
}

/** @param certificate fingerprint of the certificate that the agent serves with while it joins */
export const createChallenges = (privateKey: CryptoKey, certificate?: string): Challenges => {
  let joining = 0
  return {
    prove: async nonce =>
      joining === 0
        ? undefined
        : new SignJWT({ nonce, ...(certificate === undefined ? {} : { cert: certificate }) })
            .setProtectedHeader({ alg: 'EdDSA' })
            .setAudience(challengeAudience)
            .setIssuedAt()
            .setExpirationTime(`${maxLifetimeSeconds}s`)
            .sign(privateKey),
    during: async work => {
      joining++
      try {
        return await work()
      } finally {
        joining--
      }
    },
  }
}

const problem = z.object({ title: z.string().optional(), detail: z.string().optional() })

/**
 * Asks the gateway to take this host, again and again while it is not up.
 * @returns the host's id
 * @throws JoinRefused, or the signal's reason
 */
export const joinGateway = async (
  gatewayUrl: string,
  request: JoinRequest,
  deps: { log: Logger; signal: AbortSignal; fetch?: typeof fetch },
): Promise<string> => {
  const signal = AbortSignal.any([deps.signal, AbortSignal.timeout(joinMs)])
  const send = deps.fetch ?? fetch
  for (let pause = firstPauseMs, said = ''; ; pause = Math.min(pause * 2, longestPauseMs)) {
    const { hostId, failure } = await tryOnce(send, gatewayUrl, request, signal)
    if (hostId !== undefined) return hostId
    signal.throwIfAborted()
    if (failure !== said) deps.log.warn({ gateway: gatewayUrl, failure }, 'gateway does not answer, trying again')
    said = failure
    await sleep(pause, undefined, { signal })
  }
}

type Try = { hostId: string; failure?: never } | { hostId?: never; failure: string }

const tryOnce = async (
  send: typeof fetch,
  gatewayUrl: string,
  request: JoinRequest,
  signal: AbortSignal,
): Promise<Try> => {
  try {
    const answer = await send(`${gatewayUrl}/v1/hosts/join`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(request),
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(tryMs)]),
    })
    const said: unknown = await answer.json().catch(() => undefined)
    if (answer.ok) return { hostId: joinAnswer.parse(said).hostId }
    if (isPassing(answer.status)) return { failure: `status ${answer.status}` }
    const { title, detail } = problem.safeParse(said).data ?? {}
    throw new JoinRefused(
      `The gateway at ${gatewayUrl} refused this host: ${detail ?? title ?? `status ${answer.status}`}. Mint a new join token and check PORTHOLE_AGENT_URL.`,
    )
  } catch (error) {
    if (error instanceof JoinRefused || error instanceof z.ZodError) throw error
    return {
      failure:
        error instanceof Error ? (error.cause instanceof Error ? error.cause.message : error.message) : 'no answer',
    }
  }
}

const isPassing = (status: number): boolean => status >= 500 || status === 408 || status === 429
