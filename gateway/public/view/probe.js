/**
 * Asks the gateway for the page itself: the status says whether this person may still look, and two headers, where the
 * gateway sends them, say what the runtime is doing (`x-porthole-state`; `away` with its host) and whether input is let through
 * (`x-porthole-access: view | control`). A third (`x-porthole-error`) is the code of why it does not run.
 * @param {string} path without the query, which may hold a used ticket
 * @returns {Promise<{ status: number, state: string | null, access: string | null, why: string | null }>} status 0 when
 * nothing answered
 */
const nothing = { status: 0, state: null, access: null, why: null }

export async function probePage(path) {
  try {
    const answer = await fetch(path, {
      credentials: 'same-origin',
      cache: 'no-store',
      redirect: 'manual',
      headers: { accept: 'text/html' },
      signal: AbortSignal.timeout(10_000),
    })
    await answer.body?.cancel()
    // A proxy in front that wants a sign-in of its own answers with a redirect.
    if (answer.type === 'opaqueredirect') return { ...nothing, status: 401 }
    const { status, headers } = answer
    const [state, access, why] = ['state', 'access', 'error'].map(name => headers.get(`x-porthole-${name}`) ?? null)
    return { status, state: state ?? null, access: access ?? null, why: why ?? null }
  } catch {
    return nothing
  }
}

/** The gateway has a limit of its own for a start: 45 s, unless an operator set another. */
const startMs = 120_000

/**
 * Asks the gateway to start what the page shows. Resolves when it runs, or why it does not.
 * @param {URL} url
 * @returns {Promise<{ status: number, why: string | null }>} status 0 when nothing answered
 */
export async function startRuntime(url) {
  try {
    const answer = await fetch(url, {
      method: 'POST',
      credentials: 'same-origin',
      signal: AbortSignal.timeout(startMs),
    })
    const problem = answer.ok ? undefined : await answer.json().catch(() => undefined)
    return { status: answer.status, why: typeof problem?.code === 'string' ? problem.code : null }
  } catch {
    return { status: 0, why: 'host-unreachable' }
  }
}
