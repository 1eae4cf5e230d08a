/** How long the toolbar stays when nobody is on it. */
const lingerMs = 2500

/**
 * A handle at the bottom edge, and the tools behind it. It hides by itself; Ctrl+Alt+Shift brings it for the keyboard.
 * @param {object} needs
 * @param {(id: string) => HTMLElement} needs.element
 * @param {{ isSupported: boolean, isOpen: () => boolean, toggle: () => void, onChange: (then: (open: boolean) => void) => void }} needs.typing
 * @param {{ seen: () => void }} needs.clipboard
 * @param {() => void} needs.leave gives the keyboard back to the remote browser
 */
export function createToolbar({ element, typing, clipboard, leave }) {
  const bar = element('bar')
  const handle = element('handle')
  const panel = element('clipboard')
  const clipboardTool = element('tool-clipboard')
  const keyboardTool = element('tool-keyboard')
  const fullscreenTool = element('tool-fullscreen')
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let hiding
  let wasShown = false

  const isUsed = () => !panel.hidden || bar.matches(':hover') || bar.matches(':focus-within:has(:focus-visible)')

  /** @param {boolean} open */
  const setOpen = open => {
    clearTimeout(hiding)
    bar.classList.toggle('open', open)
    handle.setAttribute('aria-expanded', String(open))
    if (open) hiding = setTimeout(hideUnlessUsed, lingerMs)
  }
  function hideUnlessUsed() {
    if (isUsed()) hiding = setTimeout(hideUnlessUsed, lingerMs)
    else setOpen(false)
  }
  /** @param {boolean} open */
  const setPanel = open => {
    panel.hidden = !open
    clipboardTool.setAttribute('aria-expanded', String(open))
    if (!open) return
    clipboard.seen()
    element('clipboard-text').focus()
  }
  const dismiss = () => {
    setPanel(false)
    setOpen(false)
    leave()
  }

  handle.addEventListener('click', () => (bar.classList.contains('open') ? dismiss() : setOpen(true)))
  bar.addEventListener('pointerenter', event => {
    // Not while something is dragged across: that is work in the remote browser.
    if (event.pointerType === 'mouse' && event.buttons === 0) setOpen(true)
  })
  bar.addEventListener('keydown', event => {
    if (event.key === 'Escape') dismiss()
  })
  clipboardTool.addEventListener('click', () => (panel.hidden ? setPanel(true) : dismiss()))
  element('clipboard-close').addEventListener('click', dismiss)

  keyboardTool.hidden = !typing.isSupported
  // Before the tap moves the focus, or the field would be blurred and focused again.
  keyboardTool.addEventListener('pointerdown', event => event.preventDefault())
  keyboardTool.addEventListener('click', () => typing.toggle())
  typing.onChange(open => keyboardTool.setAttribute('aria-pressed', String(open)))

  fullscreenTool.hidden = !document.fullscreenEnabled
  fullscreenTool.addEventListener('click', async () => {
    try {
      if (document.fullscreenElement) await document.exitFullscreen()
      else await document.documentElement.requestFullscreen()
    } catch {
      fullscreenTool.hidden = true // refused by the page around this one
    }
    leave()
  })
  document.addEventListener('fullscreenchange', () =>
    fullscreenTool.setAttribute('aria-pressed', String(document.fullscreenElement !== null)),
  )

  return {
    isInUse: () => !panel.hidden || typing.isOpen() || (bar.contains(document.activeElement) && isUsed()),
    open() {
      setOpen(true)
      const tools = /** @type {NodeListOf<HTMLElement>} */ (bar.querySelectorAll('#tools button'))
      for (const tool of tools) {
        if (tool.hidden) continue
        tool.focus()
        break
      }
    },
    /** @param {boolean} connected */
    setConnected(connected) {
      bar.hidden = !connected
      if (!connected || wasShown) return
      wasShown = true
      setOpen(true) // once, so that people know it is there
    },
    /** @param {boolean} viewOnly */
    setViewOnly(viewOnly) {
      bar.classList.toggle('view-only', viewOnly)
      element('live-text').textContent = viewOnly ? 'View only' : 'Live'
      clipboardTool.hidden = viewOnly
      keyboardTool.hidden = viewOnly || !typing.isSupported
      if (viewOnly) setPanel(false)
    },
  }
}
