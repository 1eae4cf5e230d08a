import { Problem } from './api.js'
import { byId, make } from './page.js'

const toastMs = 4000
const mostToasts = 3

/** Says something briefly. @param {string} text */
export function toast(text) {
  const toasts = byId('toasts')
  const note = make('p', { class: 'toast' }, text)
  toasts.append(note)
  while (toasts.children.length > mostToasts) toasts.firstElementChild?.remove()
  setTimeout(() => note.remove(), toastMs)
}

/**
 * What went wrong, as the gateway said it.
 * @param {unknown} error
 * @returns {HTMLElement}
 */
export function faultBox(error) {
  if (!(error instanceof Problem)) return make('div', { class: 'fault' }, make('b', {}, String(error)))
  const { title, detail, code, requestId, errors } = error
  const box = make('div', { class: 'fault' }, make('b', {}, title))
  if (detail) box.append(make('p', {}, detail))
  if (errors.length > 0)
    box.append(make('ul', {}, ...errors.map(one => make('li', {}, make('code', {}, one.pointer), ` ${one.detail}`))))
  const facts = [code, requestId && `request ${requestId}`].filter(Boolean).join(' · ')
  if (facts) box.append(make('p', { class: 'facts' }, facts))
  return box
}

/**
 * Shows a fault in its place, or clears it.
 * @param {HTMLElement} place
 * @param {unknown} [error]
 */
export function showFault(place, error) {
  if (error === undefined) place.replaceChildren()
  else place.replaceChildren(faultBox(error))
}
