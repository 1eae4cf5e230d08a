import { toast } from './notices.js'
import { byId, closable } from './page.js'

/** For browsers that do not let a page copy or open something: the person does it. */
export function createByHand() {
  const dialog = /** @type {HTMLDialogElement} */ (byId('by-hand'))
  const field = /** @type {HTMLTextAreaElement} */ (byId('by-hand-text'))
  const link = /** @type {HTMLAnchorElement} */ (byId('by-hand-link'))
  closable(dialog)

  return {
    /** @param {string} what @param {string} text */
    async copy(what, text) {
      try {
        await navigator.clipboard.writeText(text)
        toast(`${what} copied`)
      } catch {
        byId('by-hand-title').textContent = what
        byId('by-hand-why').textContent = 'Your browser did not let this page copy. Copy it from here.'
        field.value = text
        field.hidden = false
        link.hidden = true
        dialog.showModal()
        field.select()
      }
    },
    /**
     * A tab for the live view, opened within the click, before its address is known: later it would count as a pop-up.
     * @returns {{ go: (url: string) => void, cancel: () => void }}
     */
    openTab() {
      const tab = window.open('about:blank', '_blank')
      if (tab) tab.opener = null
      return {
        go(url) {
          if (!/^https?:\/\//i.test(url)) throw new Error('the gateway gave an address that is not of the web')
          if (tab && !tab.closed) return tab.location.replace(url)
          byId('by-hand-title').textContent = 'Live view'
          byId('by-hand-why').textContent =
            'Your browser did not let this page open a tab. The link works once, for a minute.'
          field.hidden = true
          link.href = url
          link.hidden = false
          dialog.showModal()
        },
        cancel: () => tab?.close(),
      }
    },
  }
}
