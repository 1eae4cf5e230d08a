import { takeToken } from '../assets/fragment.js'
import { createApi, Problem } from './api.js'
import { createByHand } from './by-hand.js'
import { age, claimsOf, playwrightSnippet } from './format.js'
import { createNewForm, createRemoveForm } from './forms.js'
import { showHosts } from './hosts.js'
import { createList } from './list.js'
import { showFault, toast } from './notices.js'
import { byId } from './page.js'
import { createPoll } from './poll.js'

/**
 * @typedef {import('./api.js').Runtime} Runtime
 * @typedef {import('./states.js').Action} Action
 */

const everyMs = 3000
const slowestMs = 30_000
const pageSize = 100
const mostPages = 10
const storageKey = 'porthole.token'

/** Kept in this variable, and in this tab's storage where the browser allows it. @type {string | undefined} */
let token
let pages = 1
let maySeeHosts = true

const api = createApi({ token: () => token, base: new URL('../v1/', location.href).href })
const byHand = createByHand()
const list = createList({ act })
const openNewForm = createNewForm({
  async create(wanted) {
    const runtime = await api.create(wanted)
    list.mark(runtime.id)
    toast(runtime.state === 'running' ? `${runtime.owner} has a browser already` : 'Browser is starting')
    poll.now()
  },
})
const openRemoveForm = createRemoveForm({
  async remove(runtime, withProfile) {
    await api.remove(runtime.id, withProfile)
    toast('Browser is being deleted')
    poll.now()
  },
})
const poll = createPoll({ work: refresh, everyMs, slowestMs })

/** @param {Action} action @param {Runtime} runtime */
async function act(action, runtime) {
  if (action === 'delete') return openRemoveForm(runtime)
  if (action === 'copy-cdp') return byHand.copy('CDP URL', runtime.urls.cdp)
  if (action === 'copy-playwright') return byHand.copy('Playwright code', playwrightSnippet(runtime.urls.cdp))
  if (action === 'open' || action === 'watch') {
    const tab = byHand.openTab()
    try {
      const { url } = await api.ticket(runtime.id, action === 'open' ? 'control' : 'view')
      tab.go(url)
    } catch (error) {
      tab.cancel()
      throw error
    }
    return
  }
  await api.tell(runtime.id, action)
  poll.now()
}

/** Every page that was asked for, and the hosts. @returns {Promise<boolean>} whether the list is up to date */
async function refresh() {
  const asked = token
  try {
    /** @type {Runtime[]} */
    const runtimes = []
    /** @type {string | null} */
    let cursor = null
    for (let page = 0; page < pages; page += 1) {
      const answer = await api.runtimes(pageSize, cursor ?? undefined)
      runtimes.push(...answer.items)
      cursor = answer.nextCursor
      if (cursor === null) break
    }
    if (asked !== token) return true
    showDesk()
    list.show(runtimes, cursor !== null && pages < mostPages)
    showFault(byId('list-fault'))
    showPulse(true)
  } catch (error) {
    if (asked !== token) return true
    if (error instanceof Problem && error.status === 401) {
      signOut(error)
      return false
    }
    if (byId('desk').hidden) return endSignIn(error)
    showFault(byId('list-fault'), error)
    showPulse(false)
    return false
  }
  await refreshHosts(asked)
  return true
}

/** Hosts are for operators; for everybody else the part is not there. @param {string | undefined} asked */
async function refreshHosts(asked) {
  if (!maySeeHosts) return
  try {
    const { items } = await api.hosts()
    if (asked !== token) return
    showHosts(items)
    list.nameHosts(items)
  } catch (error) {
    const isRefused = error instanceof Problem && [401, 403, 404].includes(error.status)
    if (isRefused) maySeeHosts = false
    if (isRefused && asked === token) showHosts(undefined)
  }
}

/** @param {boolean} fresh */
function showPulse(fresh) {
  const { tenant, owner, expiresAt } = claimsOf(token ?? '')
  const who = [tenant, owner].filter(Boolean).join(' / ') || 'Signed in'
  const ends = expiresAt === undefined ? '' : `token ends ${new Date(expiresAt).toLocaleString()}`
  byId('pulse').hidden = false
  byId('pulse').title = ends
  byId('pulse').dataset.tone = fresh ? 'good' : 'bad'
  const isEnding = expiresAt !== undefined && expiresAt - Date.now() < 10 * 60_000 && expiresAt > Date.now()
  const soon = isEnding ? ` · token ends in ${age(new Date(2 * Date.now() - expiresAt).toISOString(), Date.now())}` : ''
  const text = fresh ? `${who}${soon}` : `${who} · not up to date`
  if (byId('pulse-text').textContent !== text) byId('pulse-text').textContent = text
}

function showDesk() {
  byId('sign-in').hidden = true
  byId('desk').hidden = false
  byId('top-actions').hidden = false
}

/** A token that could not be tried: it stays, so that a reload tries again. @param {unknown} error */
function endSignIn(error) {
  poll.stop()
  byId('sign-in').hidden = false
  showFault(byId('sign-in-fault'), error)
  return false
}

/** @param {string} given */
function signIn(given) {
  if (/[^\x21-\x7e]/.test(given)) {
    endSignIn(
      new Problem({ status: 401, title: 'This is not a token', detail: 'A token has no spaces or special signs.' }),
    )
    return
  }
  token = given
  maySeeHosts = true
  pages = 1
  try {
    sessionStorage.setItem(storageKey, given)
  } catch {
    // Storage is refused (a frame of another site): signed in until the page is left.
  }
  poll.stop()
  poll.start()
}

/** @param {unknown} [why] */
function signOut(why) {
  poll.stop()
  token = undefined
  try {
    sessionStorage.removeItem(storageKey)
  } catch {
    // Nothing was kept.
  }
  for (const dialog of document.querySelectorAll('dialog')) dialog.close()
  list.clear()
  showHosts(undefined)
  byId('desk').hidden = true
  byId('top-actions').hidden = true
  byId('pulse').hidden = true
  byId('sign-in').hidden = false
  showFault(byId('sign-in-fault'), why)
  byId('token').focus()
}

function storedToken() {
  try {
    return sessionStorage.getItem(storageKey) ?? undefined
  } catch {
    return undefined
  }
}

byId('sign-in-form').addEventListener('submit', event => {
  event.preventDefault()
  const field = /** @type {HTMLInputElement} */ (byId('token'))
  const given = field.value.trim().replace(/^Bearer\s+/i, '')
  field.value = ''
  showFault(byId('sign-in-fault'))
  signIn(given)
})
byId('sign-out').addEventListener('click', () => signOut())
byId('new').addEventListener('click', openNewForm)
byId('more').addEventListener('click', () => {
  pages += 1
  poll.now()
})
window.addEventListener('hashchange', () => {
  const pasted = takeToken(location, history)
  if (pasted !== undefined) signIn(pasted)
})

const given = takeToken(location, history) ?? storedToken()
if (given === undefined) signOut()
else signIn(given)
