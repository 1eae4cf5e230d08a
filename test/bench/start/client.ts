/** A browser that Porthole runs. */
export type Started = { id: string; ownerHash: string }

/** What the bench asks of Porthole, as any client would. Everything rejects for an answer that is not the expected one. */
export type Client = {
  /** Resolves once the owner's browser is ready. */
  ensure(owner: string): Promise<Started>
  /** Milliseconds of each step of its last start, as its events tell. */
  stepsOf(runtime: Pick<Started, 'id'>): Promise<Readonly<Record<string, number>>>
  /** Resolves once DevTools have answered through the edge. */
  firstAnswer(runtime: Started): Promise<void>
  /** Resolves once it is in the state that the verb leads to. */
  turn(runtime: Started, verb: 'pause' | 'stop'): Promise<void>
  /** Resolves once nothing is left of it, its profile included. */
  remove(runtime: Started): Promise<void>
}

type Event = { data: { steps?: Record<string, number> } }

const callMs = 120_000
/** Seconds that a client waits for its browser, in line with others. */
const waitSeconds = 110

export const createClient = ({ url, token }: { url: string; token: string }): Client => {
  const call = async (method: string, path: string, expected: readonly number[], body?: object): Promise<string> => {
    const answer = await fetch(`${url}${path}`, {
      method,
      signal: AbortSignal.timeout(callMs),
      headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    if (!expected.includes(answer.status)) throw new Error(`${method} ${path}: ${answer.status} ${text.slice(0, 500)}`)
    return text
  }
  return {
    ensure: async owner =>
      JSON.parse(await call('POST', '/v1/runtimes', [200, 201], { userId: owner, wait: waitSeconds })),
    stepsOf: async ({ id }) => {
      const { items }: { items: Event[] } = JSON.parse(await call('GET', `/v1/runtimes/${id}/events`, [200]))
      return items.findLast(({ data }) => data.steps !== undefined)?.data.steps ?? {}
    },
    firstAnswer: async ({ ownerHash }) => void (await call('GET', `/cdp/${ownerHash}/json/version`, [200])),
    turn: async ({ id }, verb) => void (await call('POST', `/v1/runtimes/${id}/${verb}`, [200])),
    remove: async ({ id }) => void (await call('DELETE', `/v1/runtimes/${id}?profile=delete`, [204])),
  }
}
