/**
 * A token in a URL's fragment (`#token=…`) never reaches a server, but it stays in the address bar and in the history
 * until somebody removes it. This takes it out.
 */

/**
 * Splits a fragment into its token and whatever else it carries, which is kept as it was written.
 * @param {string} fragment with or without its leading `#`
 * @returns {{ token: string | undefined, rest: string }}
 */
export function splitToken(fragment) {
  const parts = fragment.replace(/^#/, '').split('&')
  const found = parts.find(part => part.startsWith('token='))
  const rest = parts.filter(part => !part.startsWith('token=')).join('&')
  return { token: found === undefined ? undefined : decoded(found.slice('token='.length)), rest }
}

/**
 * Takes the token out of the address bar, and out of this entry of the history, at once.
 * @param {Location} location
 * @param {History} history
 * @returns {string | undefined} the token, if there was one
 */
export function takeToken(location, history) {
  const { token, rest } = splitToken(location.hash)
  if (token === undefined) return undefined
  history.replaceState(history.state, '', `${location.pathname}${location.search}${rest === '' ? '' : `#${rest}`}`)
  return token.trim() === '' ? undefined : token.trim()
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text)
  } catch {
    return text // a stray % is for the server to refuse, not for us to crash on
  }
}
