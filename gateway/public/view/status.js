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
 * @param {{ element: (id: string) => HTMLElement, onAction: (action: 'reload' | 'resume') => void }} needs
 */
export function createStatus({ element, onAction }) {
  const pill = element('status')
  const title = element('status-title')
  const detail = element('status-detail')
  const button = element('status-action')
  /** @type {'reload' | 'resume' | undefined} */
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
    /** @param {import('./state.js').Phase} phase */
    show(phase) {
      clearTimeout(slow)
      const message = messageOf(phase, isFramed())
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
