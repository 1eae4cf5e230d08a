/** Making and finding elements. Text is only ever set as text, so nothing that comes from outside becomes markup. */

/**
 * An element of the page that must be there.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const found = document.getElementById(id)
  if (!found) throw new Error(`index.html has no element #${id}`)
  return /** @type {T} */ (found)
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.append(...children)
  return element
}

/** Sets text where it differs, so that a selection survives a refresh. @param {Element} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text
}

/**
 * Puts `children` into `parent` in this order, moving as few as possible: focus and open menus stay.
 * @param {Element} parent
 * @param {Element[]} children
 */
export function arrange(parent, children) {
  const wanted = new Set(children)
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove()
  children.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null)
  })
}

/** Wires the dialog's Cancel buttons and a click beside it. @param {HTMLDialogElement} dialog */
export function closable(dialog) {
  dialog.addEventListener('click', event => {
    const target = /** @type {Element} */ (event.target)
    if (target === dialog || target.closest('[data-close]')) dialog.close()
  })
}
