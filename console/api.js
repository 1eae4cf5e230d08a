/**
 * The gateway's public API, as far as this page needs it. Its shapes are in api.d.ts.
 * @typedef {import('./api.js').Runtime} Runtime
 * @typedef {import('./api.js').Host} Host
 */

/**
 * @template T
 * @typedef {import('./api.js').Page<T>} Page
 */

/** Longer than the gateway's own wait for a host. */
const deadlineMs = 30_000

/** An answer other than success: RFC 9457 where the gateway wrote it, the closest thing where somebody else did. */
export class Problem extends Error {
  /** @override */
  name = 'Problem'

  /** @param {{ status: number, title: string, detail?: string, code?: string, requestId?: string, errors?: { pointer: string, detail: string }[] }} body */
  constructor(body) {
    super(body.detail ?? body.title)
    this.status = body.status
    this.title = body.title
    this.detail = body.detail
    this.code = body.code
    this.requestId = body.requestId
    this.errors = body.errors ?? []
  }
}

/**
 * @param {number} status
 * @param {unknown} body as parsed from the answer; anything
 * @returns {Problem}
 */
export function problemFrom(status, body) {
  const given = typeof body === 'object' && body !== null ? /** @type {Record<string, unknown>} */ (body) : {}
  /** @param {string} name */
  const text = name => (typeof given[name] === 'string' ? given[name] : undefined)
  const errors = Array.isArray(given.errors)
    ? given.errors.map(e => ({ pointer: String(e?.pointer ?? ''), detail: String(e?.detail ?? '') }))
    : []
  return new Problem({
    status,
    title: text('title') ?? `The gateway answered ${status}`,
    detail: text('detail'),
    code: text('code'),
    requestId: text('requestId'),
    errors,
  })
}

/**
 * @param {object} needs
 * @param {() => string | undefined} needs.token
 * @param {string} needs.base the address of `/v1/`, with its slash at the end
 * @param {typeof globalThis.fetch} [needs.fetch]
 */
export function createApi({ token, base, fetch = globalThis.fetch.bind(globalThis) }) {
  /**
   * @param {string} method
   * @param {string} path below `/v1/`
   * @param {unknown} [body]
   * @returns {Promise<any>} the parsed answer; undefined when there is none
   * @throws {Problem} status 0 when nothing answered
   */
  async function call(method, path, body) {
    /** @type {Record<string, string>} */
    const headers = { authorization: `Bearer ${token() ?? ''}`, accept: 'application/json' }
    if (body !== undefined) headers['content-type'] = 'application/json'
    /** @type {Response} */
    let answer
    try {
      answer = await fetch(new URL(path, base), {
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        credentials: 'omit',
        cache: 'no-store',
        signal: AbortSignal.timeout(deadlineMs),
      })
    } catch (cause) {
      const isLate = cause instanceof DOMException && cause.name === 'TimeoutError'
      const title = isLate ? 'The gateway took too long to answer' : 'The gateway does not answer'
      throw new Problem({ status: 0, title })
    }
    const parsed = await answer.json().catch(() => undefined)
    if (!answer.ok) throw problemFrom(answer.status, parsed)
    return parsed
  }

  /** @param {string} id */
  const at = id => `runtimes/${encodeURIComponent(id)}`

  return {
    /** @type {(limit: number, cursor?: string) => Promise<Page<Runtime>>} */
    runtimes: (limit, cursor) =>
      call('GET', `runtimes?${new URLSearchParams({ limit: String(limit), ...(cursor ? { cursor } : {}) })}`),
    /** @type {(cursor?: string) => Promise<Page<Host>>} */
    hosts: cursor => call('GET', `hosts?${new URLSearchParams({ limit: '100', ...(cursor ? { cursor } : {}) })}`),
    /** Does not wait until it is ready: the list shows how it goes. @type {(wanted: Record<string, string>) => Promise<Runtime>} */
    create: wanted => call('POST', 'runtimes', { ...wanted, wait: 0 }),
    /** @type {(id: string, access: 'control' | 'view') => Promise<{ url: string }>} */
    ticket: (id, access) => call('POST', `${at(id)}/tickets`, { access }),
    /** @type {(id: string, verb: 'start' | 'stop' | 'pause' | 'resume') => Promise<unknown>} */
    tell: (id, verb) => call('POST', `${at(id)}/${verb}`),
    /** @type {(id: string, withProfile: boolean) => Promise<unknown>} */
    remove: (id, withProfile) => call('DELETE', `${at(id)}${withProfile ? '?profile=delete' : ''}`),
  }
}
