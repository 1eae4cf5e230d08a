/** Below its button, or above where there is no room. @param {HTMLElement} menu @param {HTMLElement} button */
export function placeMenu(menu, button) {
  const at = button.getBoundingClientRect()
  const { offsetWidth: width, offsetHeight: height } = menu
  const below = at.bottom + 6 + height <= innerHeight
  menu.style.top = `${Math.max(8, below ? at.bottom + 6 : at.top - 6 - height)}px`
  menu.style.left = `${Math.max(8, Math.min(at.right, innerWidth - 8) - width)}px`
}

/** Arrow keys, Home and End in an open menu. @param {KeyboardEvent} event */
export function moveInMenu(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
  const menu = /** @type {HTMLElement} */ (event.currentTarget)
  const items = [...menu.querySelectorAll('button')]
  const at = items.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement))
  if (step !== undefined) items[(at + step + items.length) % items.length]?.focus()
  else if (event.key === 'Home') items[0]?.focus()
  else if (event.key === 'End') items.at(-1)?.focus()
  else return
  event.preventDefault()
}

/** Three dots, the menu's sign. */
export function dots() {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
  svg.setAttribute('viewBox', '0 0 20 20')
  svg.setAttribute('aria-hidden', 'true')
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path')
  path.setAttribute('d', 'M4.5 10h.01M10 10h.01M15.5 10h.01')
  path.setAttribute('class', 'dots')
  svg.append(path)
  return svg
}
