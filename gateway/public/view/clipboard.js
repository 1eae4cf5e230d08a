/** How long after Ctrl+C here the remote browser's new clipboard is taken for its answer. */
const copyWindowMs = 2000

/**
 * The clipboard, both ways. What the remote browser copies always comes into the panel; it goes on to this computer's
 * clipboard only when the person asked for it (Ctrl+C, or the button): a page over there must not write here by itself.
 * @param {{ element: (id: string) => HTMLElement, send: (text: string) => void }} needs
 */
export function createClipboard({ element, send }) {
  const text = /** @type {HTMLTextAreaElement} */ (element('clipboard-text'))
  const note = element('clipboard-note')
  const news = element('news')
  const system = navigator.clipboard // absent without TLS
  let copyUntil = 0

  /** @param {string} words */
  const say = words => {
    note.textContent = words
  }

  element('clipboard-paste').hidden = system?.readText === undefined
  element('clipboard-copy').hidden = system?.writeText === undefined

  element('clipboard-send').addEventListener('click', () => {
    send(text.value)
    say('Sent. Paste it in the remote browser with Ctrl+V.')
  })
  element('clipboard-paste').addEventListener('click', async () => {
    try {
      text.value = await system.readText()
      send(text.value)
      say('Sent. Paste it in the remote browser with Ctrl+V.')
    } catch {
      say('Your browser did not allow it. Paste into the field instead, then Send.')
      text.focus()
    }
  })
  element('clipboard-copy').addEventListener('click', async () => {
    try {
      await system.writeText(text.value)
      say('Copied to this computer.')
    } catch {
      say('Your browser did not allow it. Copy from the field instead.')
      text.select()
    }
  })

  return {
    /** @param {string} fresh what was copied in the remote browser */
    received(fresh) {
      text.value = fresh.slice(0, text.maxLength)
      say('')
      if (element('clipboard').hidden) news.hidden = false
      if (performance.now() > copyUntil || system?.writeText === undefined) return
      copyUntil = 0
      system.writeText(fresh).catch(() => undefined) // not permitted: it is in the panel
    },
    /** The person pressed Ctrl+C or Ctrl+X. */
    expectCopy() {
      copyUntil = performance.now() + copyWindowMs
    },
    /** @param {string} local what the person pastes with Ctrl+V */
    paste(local) {
      text.value = local.slice(0, text.maxLength)
      send(local)
    },
    seen() {
      news.hidden = true
      say('')
    },
  }
}
