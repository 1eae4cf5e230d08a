import type { Relay } from '@porthole/protocol/relay'
import type { Context } from 'hono'
import type { House } from '../house.ts'
import type { AppEnv } from '../routes/openapi.ts'
import type { Door, Visit } from './access.ts'
import { relayProblem } from './relay-problem.ts'
import type { targetOf } from './target.ts'

/** Milliseconds a client may be silent within a body. One that keeps moving may take as long as it likes. */
const uploadIdleTimeoutMs = 300_000

type Asked = Parameters<typeof targetOf>[4]

/**
 * Relays one request to a visitor's runtime, counted among what is open to it. Resolves when the exchange is over.
 *
 * @param find the way there, with the request held while its runtime resumes
 * @throws Problem what `find` throws, `too-many-open`, `gateway-full`
 */
export const passOn = async (
  house: House,
  relay: Relay,
  c: Context<AppEnv>,
  { visit, door, find }: { visit: Visit; door: Door; find(asked: Asked): ReturnType<typeof targetOf> },
): Promise<void> => {
  const { incoming, outgoing } = c.env
  const requestId = c.get('requestId')
  const cut = new AbortController()
  const place = house.sockets.enter({
    ...visit,
    runtimeId: visit.runtime.id,
    door,
    kind: 'request',
    close: () => cut.abort(),
  })
  try {
    const { runtime, ...target } = await find({ req: incoming, requestId })
    place.leadsTo(runtime.generation)
    const result = await relay.http(incoming, outgoing, {
      ...target,
      uploadIdleTimeoutMs,
      signal: cut.signal,
      problem: relayProblem(requestId),
    })
    house.log.info({ requestId, tenant: visit.tenant, runtime: runtime.id, door, ...result }, 'edge request')
  } finally {
    place.leave()
  }
}
