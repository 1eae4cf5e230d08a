import type { Relay } from '@porthole/protocol/relay'
import type { Context } from 'hono'
import type { House } from '../house.ts'
import type { AppEnv } from '../routes/openapi.ts'
import type { Door, Visit } from './access.ts'
import { relayProblem } from './relay-problem.ts'
import type { targetOf } from './target.ts'

/** Milliseconds a client may be silent within a body. One that keeps moving may take as long as it likes. */
export const uploadIdleTimeoutMs = 300_000

type Asked = Parameters<typeof targetOf>[4]

type Underway = {
  /** Aborted when the request is no longer allowed, or its runtime stops or moves. */
  cut: AbortSignal
  /** The same, or its client has gone. */
  over: AbortSignal
  /** It leads to that generation from now on, and ends with it. */
  leadsTo(generation: number): void
}

/**
 * Does the work of one request to a visitor's runtime, counted among what is open to it.
 *
 * @throws Problem `too-many-open`, `gateway-full`, and whatever `work` throws
 */
export const whileOpen = async <T>(
  house: Pick<House, 'sockets'>,
  c: Context<AppEnv>,
  { visit, door }: { visit: Visit; door: Door },
  work: (underway: Underway) => Promise<T>,
): Promise<T> => {
  const { outgoing } = c.env
  const cut = new AbortController()
  const gone = new AbortController()
  const leave = () => gone.abort()
  const place = house.sockets.enter({
    ...visit,
    runtimeId: visit.runtime.id,
    door,
    kind: 'request',
    close: () => cut.abort(),
  })
  outgoing.once('close', leave)
  if (outgoing.closed || outgoing.req.socket.destroyed) leave()
  try {
    return await work({
      cut: cut.signal,
      over: AbortSignal.any([cut.signal, gone.signal]),
      leadsTo: place.leadsTo,
    })
  } finally {
    outgoing.off('close', leave)
    place.leave()
  }
}

/**
 * Relays one request to a visitor's runtime. Resolves when the exchange is over.
 *
 * @param find the way there, with the request held while its runtime resumes, for as long as its client stays and may
 * @throws Problem what `find` throws, `too-many-open`, `gateway-full`
 */
export const passOn = (
  house: House,
  relay: Relay,
  c: Context<AppEnv>,
  { visit, door, find }: { visit: Visit; door: Door; find(asked: Asked): ReturnType<typeof targetOf> },
): Promise<void> =>
  whileOpen(house, c, { visit, door }, async ({ cut, over, leadsTo }) => {
    const { incoming, outgoing } = c.env
    const requestId = c.get('requestId')
    const { runtime, ...target } = await find({ req: incoming, requestId, signal: over })
    leadsTo(runtime.generation)
    const result = await relay.http(incoming, outgoing, {
      ...target,
      uploadIdleTimeoutMs,
      signal: cut,
      problem: relayProblem(requestId),
    })
    house.log.info({ requestId, tenant: visit.tenant, runtime: runtime.id, door, ...result }, 'edge request')
  })
