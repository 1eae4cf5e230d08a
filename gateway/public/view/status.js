import { messageOf } from './state.js'

/** An attempt that takes longer than this is usually a browser being started. */
const slowMs = 4000

/** Whether another site's page is around this one: what is of our own origin may be looked into. */
function isFramed() {
  try {
    return window.top?.location.origin !== location.origin
  } catch {
    return true
  }
}

/**
 * The pill that says why there is no picture; away while there is one.
 * @param {object} needs
 * @param {(id: string) => HTMLElement} needs.element
 * @param {(action: 'reload' | 'resume') => void} needs.onAction
 * @param {() => boolean} needs.isViewOnly
 */
export function createStatus({ element, onAction, isViewOnly }) {
  const pill = element('status')
  const title = element('status-title')
  const detail = element('status-detail')
  const button = element('status-action')
  /** @type {import('./state.js').Message['action']} */
  let action
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let slow

  button.addEventListener('click', () => {
    if (action) onAction(action)
  })

  /** @param {string} text */
  const explain = text => {
    detail.textContent = text
    detail.hidden = text === ''
  }

  return {
    /**
     * @param {import('./state.js').Phase} phase
     * @param {string | null} [why] the gateway's code
     */
    show(phase, why) {
      clearTimeout(slow)
      const message = messageOf(phase, { isFramed: isFramed(), viewOnly: isViewOnly(), why })
      pill.hidden = message === undefined
      if (message === undefined) return
      title.textContent = message.title
      explain(message.detail)
      pill.dataset.busy = String(message.busy)
      pill.dataset.phase = phase
      action = message.action
      button.hidden = action === undefined
      button.textContent = action === 'resume' ? (phase === 'paused' ? 'Resume' : 'Start it again') : 'Reload'
      if (phase === 'connecting') slow = setTimeout(() => explain('The browser may still be starting.'), slowMs)
    },
  }
}
