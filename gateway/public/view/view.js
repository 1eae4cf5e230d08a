import { takeToken } from '../../assets/fragment.js'
import { createClipboard } from './clipboard.js'
import { createConnection } from './connection.js'
import KeyTable from './core/input/keysym.js'
import keysyms from './core/input/keysymdef.js'
import { watchKeys } from './keys.js'
import { probePage, startRuntime } from './probe.js'
import { createQuality } from './quality.js'
import { openSession } from './rfb-session.js'
import { optionsFrom } from './state.js'
import { createStatus } from './status.js'
import { createToolbar } from './toolbar.js'
import { createTouchKeyboard } from './touch-keyboard.js'
import { createTyping } from './typing.js'

/** @param {string} id @returns {HTMLElement} */
const element = id => {
  const found = document.getElementById(id)
  if (!found) throw new Error(`vnc.html has no element #${id}`)
  return found
}

// The address of the socket is this page's own: a `path` in the query may come from anybody, and is not read.
const socketUrl = new URL('websockify', location.href)
socketUrl.protocol = socketUrl.protocol === 'http:' ? 'ws:' : 'wss:'

const token = takeToken(location, history)
const options = optionsFrom(location.hash)
const container = element('noVNC_container')
const frozen = element('frozen')

/** @type {ReturnType<typeof openSession> | undefined} */
let session
/** @type {HTMLCanvasElement | null} */
let canvas = null
const rfb = () => (connection.phase === 'connected' ? session?.rfb : undefined)

const clipboard = createClipboard({ element, send: text => rfb()?.clipboardPasteFrom(text) })
/** @param {string} character */
const press = character => {
  if (character === '\n') rfb()?.sendKey(KeyTable.XK_Return, 'Enter')
  else rfb()?.sendKey(keysyms.lookup(character.codePointAt(0)), '')
}
const write = createTyping({
  press,
  paste: text => {
    const remote = rfb()
    if (!remote) return
    remote.clipboardPasteFrom(text)
    remote.sendKey(KeyTable.XK_Control_L, 'ControlLeft', true)
    press('v')
    remote.sendKey(KeyTable.XK_Control_L, 'ControlLeft', false)
  },
})
const typing = createTouchKeyboard({
  write,
  field: /** @type {HTMLTextAreaElement} */ (element('typed')),
  press: (keysym, code) => rfb()?.sendKey(keysym, code),
})
const toolbar = createToolbar({ element, typing, clipboard, leave: () => rfb()?.focus({ preventScroll: true }) })
const status = createStatus({
  element,
  onAction: action => (action === 'resume' ? connection.resume() : location.reload()),
  isViewOnly: () => options.viewOnly,
})

const quality = createQuality({
  now: () => performance.now(),
  apply: level => {
    if (options.quality === undefined) session?.setQuality(level)
  },
})

const connection = createConnection({
  open: told => {
    session = openSession({ container, url: socketUrl.href, options, quality, onClipboard: clipboard.received }, told)
    return session
  },
  probe: async () => {
    const answer = await probePage(location.pathname)
    showAccess(answer.access)
    return answer
  },
  restart: () => startRuntime(new URL('start', location.href)),
  visible: () => document.visibilityState === 'visible',
  show: (phase, why) => {
    const isConnected = phase === 'connected'
    document.documentElement.classList.toggle('noVNC_connected', isConnected)
    status.show(phase, why)
    toolbar.setConnected(isConnected)
    if (isConnected) thaw()
    else freeze()
  },
})

/** The last picture stays, dimmed, while there is no connection: less of a shock than a black page. */
function freeze() {
  if (canvas === null) return
  canvas.tabIndex = -1
  frozen.replaceChildren(canvas)
  canvas = null
}

function thaw() {
  frozen.replaceChildren()
  canvas = container.querySelector('canvas')
  canvas?.addEventListener('blur', releaseKeys)
  // In a frame the page around it keeps its focus, unless the person is already in here.
  if (window.parent === window || document.hasFocus()) focusRemote()
}

function focusRemote() {
  if (!toolbar.isInUse()) rfb()?.focus({ preventScroll: true })
}

/** noVNC lets go of held keys when the window loses focus, but not when its canvas does: they would stick. */
function releaseKeys() {
  window.dispatchEvent(new Event('blur'))
}

/** A ticket to watch makes a page that watches, whatever its fragment says. @param {string | null} access */
function showAccess(access) {
  if (access === 'view') options.viewOnly = true
  if (session && session.rfb.viewOnly !== options.viewOnly) session.rfb.viewOnly = options.viewOnly
  toolbar.setViewOnly(options.viewOnly)
}

/** A link with a token in a window that has a cookie already: the newer one counts, and its failure changes nothing. */
async function exchange(/** @type {string} */ bearer) {
  await fetch(new URL('session', location.href), {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}` },
    credentials: 'same-origin',
    signal: AbortSignal.timeout(10_000),
  }).catch(() => undefined)
}

watchKeys({ rfb, clipboard, write, openToolbar: toolbar.open })
document.addEventListener('visibilitychange', () => connection.wake())
window.addEventListener('online', () => connection.wake({ networkChanged: true }))
window.addEventListener('focus', focusRemote)
window.addEventListener('hashchange', () => {
  if (takeToken(location, history) === undefined) location.reload() // other options, or a link pasted over this one
})

showAccess(null)
if (token !== undefined) await exchange(token)
connection.start()
showAccess((await probePage(location.pathname)).access)
