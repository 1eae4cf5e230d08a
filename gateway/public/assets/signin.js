import { takeToken } from './fragment.js'
import { faultFor, sessionPath, wordsFor } from './signin-words.js'

/** A reload after a sign-in that lands here again within this time means that the cookie was not kept. */
const comeBackMs = 15_000

/** @param {string} id @returns {HTMLElement} */
const element = id => {
  const found = document.getElementById(id)
  if (!found) throw new Error(`signin.html has no element #${id}`)
  return found
}
const field = /** @type {HTMLInputElement} */ (element('token'))
const button = /** @type {HTMLButtonElement} */ (element('open'))
const fault = element('fault')

/** @param {boolean} opening */
function setOpening(opening) {
  element('opening').hidden = !opening
  element('ask').hidden = opening
  button.disabled = opening
}

/** @param {string} text */
function complain(text) {
  fault.textContent = text
  fault.hidden = text === ''
  field.toggleAttribute('aria-invalid', text !== '')
}

/**
 * @param {string} token
 * @returns {Promise<{ status: number, where: string | null }>} status 0 when nothing answered; `where` the view is, when not here
 */
async function exchange(token) {
  try {
    const answer = await fetch(sessionPath(location.pathname), {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      credentials: 'same-origin',
      signal: AbortSignal.timeout(15_000),
    })
    return { status: answer.status, where: answer.headers.get('location') }
  } catch {
    return { status: 0, where: null }
  }
}

/** @param {string} token */
async function openWith(token) {
  complain('')
  setOpening(true)
  const { status, where } = /[^\x21-\x7e]/.test(token) ? { status: 401, where: null } : await exchange(token)
  if (status >= 200 && status < 300) {
    // Noted in this entry of the history, which outlives the reload; the token itself is kept nowhere.
    history.replaceState({ signedInAt: Date.now() }, '')
    if (where) location.replace(where)
    else location.reload()
    return
  }
  setOpening(false)
  complain(faultFor(status))
  field.focus()
}

function explain() {
  const cameBack = Date.now() - Number(history.state?.signedInAt ?? 0) < comeBackMs
  history.replaceState(null, '')
  const { title, why } = wordsFor(cameBack ? 'not-kept' : document.documentElement.dataset.reason)
  element('title').textContent = title
  element('why').textContent = why
  element('command').textContent = [
    `curl -X POST ${location.origin}${document.documentElement.dataset.base}/v1/runtimes/rt_…/tickets \\`,
    '  -H "Authorization: Bearer $PORTHOLE_TOKEN" \\',
    '  -H "Content-Type: application/json" \\',
    `  -d '{"access":"control"}'`,
  ].join('\n')
}

element('form').addEventListener('submit', event => {
  event.preventDefault()
  const token = field.value.trim().replace(/^Bearer\s+/i, '')
  field.value = ''
  void openWith(token)
})
window.addEventListener('hashchange', () => {
  const pasted = takeToken(location, history)
  if (pasted !== undefined) void openWith(pasted)
})

const token = takeToken(location, history)
explain()
if (token !== undefined) await openWith(token)
else if (window.parent === window) field.focus()
