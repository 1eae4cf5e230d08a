import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { Explained } from './explained.ts'

const runtime = z.object({ id: z.string(), owner: z.string(), state: z.string(), urls: z.object({ view: z.string() }) })
export type Runtime = z.infer<typeof runtime>

const listed = z.object({ id: z.string(), state: z.string(), host: z.string().nullable() })
type Listed = z.infer<typeof listed>

const page = z.object({ items: z.array(listed), nextCursor: z.string().nullable() })
const problem = z.object({ title: z.string(), detail: z.string().optional(), code: z.string().optional() })

const inUse = z.object({ profiles: z.number() })
const joinAnswer = z.object({ token: z.string().min(1) })

const endStates = ['stopped', 'deleted', 'failed', 'lost']

/** The few calls of the public API that the local stack makes itself. */
export function gatewayApi(gatewayUrl: string, token: string) {
  async function call(method: string, path: string, body: unknown, signal: AbortSignal): Promise<Response> {
    return await fetch(`${gatewayUrl}${path}`, {
      method,
      signal,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  }

  return {
    /**
     * The owner's browser, running. Waits up to 90 s, and through the moment in which the host that has just joined is not
     * yet known to have room. Where the host with its profile does not come back (its folder was removed, say), the browser
     * gets a new profile.
     * @throws Explained with the gateway's own reason
     */
    async ensureBrowser(userId: string, signal: AbortSignal | undefined): Promise<Runtime> {
      const deadline = AbortSignal.timeout(90_000)
      const ends = signal ? AbortSignal.any([signal, deadline]) : deadline
      const joined = performance.now()
      let profile: 'keep' | 'fresh' = 'keep'
      for (;;) {
        const response = await call('POST', '/v1/runtimes', { mode: 'docker-per-principal', userId, profile }, ends)
        const answer: unknown = await response.json()
        if (response.status === 503 && performance.now() - joined < 20_000) {
          await delay(250, undefined, { signal: ends })
          continue
        }
        if (profile === 'keep' && problem.safeParse(answer).data?.code === 'profile-unavailable') {
          profile = 'fresh'
          continue
        }
        if (!response.ok) throw new Explained(`The first browser did not start: ${reasonOf(answer, response.status)}`)
        if (response.status !== 202) return runtime.parse(answer)
      }
    },

    /** A token with which one host joins within five minutes; for operators. */
    async joinToken(signal: AbortSignal): Promise<string> {
      const ends = AbortSignal.any([signal, AbortSignal.timeout(15_000)])
      const response = await call('POST', '/v1/hosts/join-tokens', undefined, ends)
      if (!response.ok) throw new Error(`making a join token answered ${response.status}`)
      return joinAnswer.parse(await response.json()).token
    },

    /** Takes out a host that holds nothing; for operators. Else resolves to how many profiles are on it. */
    async removeHost(id: string, signal: AbortSignal): Promise<{ removed: boolean; profiles: number }> {
      const ends = AbortSignal.any([signal, AbortSignal.timeout(15_000)])
      const response = await call('DELETE', `/v1/hosts/${id}`, undefined, ends)
      if (response.status === 204 || response.status === 404) return { removed: true, profiles: 0 }
      const { data } = inUse.safeParse(await response.json())
      return { removed: false, profiles: data?.profiles ?? 0 }
    },

    /**
     * Asks every runtime on these hosts that is not at rest to stop, all at once. Resolves to how many there were. Those on
     * hosts of an earlier run, with another number of hosts say, are out of reach.
     */
    async stopRuntimes(hostIds: readonly string[], signal: AbortSignal): Promise<number> {
      const isBusy = ({ state, host }: Listed) =>
        !endStates.includes(state) && (host === null || hostIds.includes(host))
      const busy = (await listAll(signal)).filter(isBusy)
      await Promise.allSettled(busy.map(({ id }) => call('POST', `/v1/runtimes/${id}/stop`, undefined, signal)))
      return busy.length
    },
  }

  async function listAll(signal: AbortSignal) {
    const found: Listed[] = []
    let cursor = ''
    do {
      const response = await call('GET', `/v1/runtimes?limit=100${cursor}`, undefined, signal)
      if (!response.ok) throw new Error(`listing the runtimes answered ${response.status}`)
      const { items, nextCursor } = page.parse(await response.json())
      found.push(...items)
      cursor = nextCursor ? `&cursor=${encodeURIComponent(nextCursor)}` : ''
    } while (cursor && found.length < 10_000)
    return found
  }
}

/** What a problem+json answer says, in a line. */
export function reasonOf(answer: unknown, status: number): string {
  const { data } = problem.safeParse(answer)
  return data ? [data.title, data.detail].filter(Boolean).join(': ') : `the gateway answered ${status}`
}
