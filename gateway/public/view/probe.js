/**
 * Asks the gateway for the page itself: the status says whether this person may still look, and two headers, where the
 * gateway sends them, say what the runtime is doing (`x-porthole-state`) and whether input is let through
 * (`x-porthole-access: view | control`).
 * @param {string} path without the query, which may hold a used ticket
 * @returns {Promise<{ status: number, state: string | null, access: string | null }>} status 0 when nothing answered
 */
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
    if (answer.type === 'opaqueredirect') return { status: 401, state: null, access: null }
    const { status, headers } = answer
    return { status, state: headers.get('x-porthole-state'), access: headers.get('x-porthole-access') }
  } catch {
    return { status: 0, state: null, access: null }
  }
}
