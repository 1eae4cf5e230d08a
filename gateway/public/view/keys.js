import KeyTable from './core/input/keysym.js'
import keysyms from './core/input/keysymdef.js'

/** Where no paste event follows Ctrl+V (an empty or a forbidden clipboard), the key goes through after this long. */
const pasteEventMs = 150

/**
 * Keys that mean something on this side too: Ctrl+C, Ctrl+X and Ctrl+V carry the clipboard across, Cmd does on a Mac what
 * Ctrl does over there, and Ctrl+Alt+Shift leads out of the canvas, which takes every other key.
 * @param {object} needs
 * @param {() => any} needs.rfb the connected RFB, if any
 * @param {{ expectCopy: () => void, paste: (text: string) => void }} needs.clipboard
 * @param {(text: string) => void} needs.write
 * @param {() => void} needs.openToolbar
 */
export function watchKeys({ rfb, clipboard, write, openToolbar }) {
  const isMac = /mac|iphone|ipad/i.test(navigator.platform)
  let isControlHeld = false
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let pasteTimer

  /** @param {EventTarget | null} target */
  const isRemote = target => target instanceof HTMLCanvasElement

  /** Ctrl and one letter, whichever modifier was pressed here. @param {string} letter @param {string} code */
  const pressWithControl = (letter, code) => {
    const remote = rfb()
    if (!remote) return
    if (isMac) remote.sendKey(KeyTable.XK_Alt_L, 'MetaLeft', false) // as noVNC has sent Cmd
    remote.sendKey(KeyTable.XK_Control_L, 'ControlLeft', true)
    remote.sendKey(keysyms.lookup(letter.codePointAt(0)), code)
    if (isMac || !isControlHeld) remote.sendKey(KeyTable.XK_Control_L, 'ControlLeft', false)
  }
  const pressPaste = () => {
    clearTimeout(pasteTimer)
    pasteTimer = undefined
    pressWithControl('v', 'KeyV')
  }

  /** One character that takes two in a string, such as an emoji: noVNC drops it. @param {string} key */
  const isWholeCharacter = key => key.length === 2 && [...key].length === 1

  /** @param {KeyboardEvent} event */
  const onKeyDown = event => {
    isControlHeld = event.ctrlKey
    const { ctrlKey, altKey, shiftKey, metaKey } = event
    if (ctrlKey && altKey && shiftKey && ['Control', 'Alt', 'Shift', 'Meta'].includes(event.key)) {
      event.preventDefault()
      event.stopImmediatePropagation()
      openToolbar()
      return
    }
    if (!isRemote(event.target) || !rfb() || rfb().viewOnly) return
    if (isWholeCharacter(event.key)) {
      event.preventDefault()
      event.stopImmediatePropagation()
      write(event.key)
      return
    }
    const isCommand = isMac ? metaKey && !ctrlKey : ctrlKey && !metaKey
    if (!isCommand || altKey) return
    const letter = event.key.toLowerCase()
    if (letter === 'c' || letter === 'x') clipboard.expectCopy()
    if (letter === 'v' && !event.repeat) {
      // Kept from noVNC, which would prevent the paste event; that event has the text without asking for a permission.
      event.stopImmediatePropagation()
      clearTimeout(pasteTimer)
      pasteTimer = setTimeout(pressPaste, pasteEventMs)
      return
    }
    if (isMac && ['c', 'x', 'a', 'z'].includes(letter)) {
      event.preventDefault()
      event.stopImmediatePropagation()
      pressWithControl(letter, event.code)
    }
  }

  /** @param {ClipboardEvent} event */
  const onPaste = event => {
    if (pasteTimer === undefined) return
    event.preventDefault()
    const text = event.clipboardData?.getData('text/plain') ?? ''
    if (text !== '') clipboard.paste(text)
    pressPaste()
  }

  window.addEventListener('keydown', onKeyDown, { capture: true })
  window.addEventListener(
    'keyup',
    event => {
      isControlHeld = event.ctrlKey
    },
    { capture: true },
  )
  document.addEventListener('paste', onPaste)
}
