import { rememberAnswer, rememberEnv } from '../kit/credentials.ts'

export type CallOptions = {
  /** The tenant's unless told. */
  token?: string
  /** The first gateway's unless told. */
  gatewayUrl?: string
  signal?: AbortSignal
}

/** A call of the public API. Ends after two minutes. */
export type Call = (method: string, path: string, body?: unknown, options?: CallOptions) => Promise<Response>

export function caller(firstUrl: string, tenantToken: string): Call {
  return async (method, path, body, { token = tenantToken, gatewayUrl = firstUrl, signal } = {}) => {
    rememberEnv(body)
    const deadline = AbortSignal.timeout(120_000)
    const answer = await fetch(`${gatewayUrl}${path}`, {
      method,
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    // What a runtime answers, or streams, is its own.
    const isOurs = path.startsWith('/v1/') && /json/.test(answer.headers.get('content-type') ?? '')
    const copy = isOurs ? answer.clone().json() : undefined
    if (copy) rememberAnswer(await copy.catch(() => undefined))
    return answer
  }
}
