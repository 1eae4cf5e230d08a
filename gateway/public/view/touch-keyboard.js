import KeyTable from './core/input/keysym.js'

/** Something to delete: an on-screen keyboard sends nothing for Backspace in an empty field. */
const padding = '_'.repeat(64)

/**
 * Types into the remote browser with a phone's on-screen keyboard, which only appears for a text field and reports
 * whole words rather than keys. What changed in the field becomes key presses.
 * @param {object} needs
 * @param {HTMLTextAreaElement} needs.field
 * @param {(keysym: number, code: string) => void} needs.press
 * @param {(text: string) => void} needs.write characters, whatever they are
 */
export function createTouchKeyboard({ field, press, write }) {
  let before = [...padding]

  const reset = () => {
    field.value = padding
    field.setSelectionRange(padding.length, padding.length)
    before = [...padding]
  }

  const onInput = (/** @type {Event} */ event) => {
    // By characters: the halves of one beyond the first 65,536 are no keys of their own.
    const after = [...field.value]
    let same = 0
    while (same < before.length && same < after.length && before[same] === after[same]) same += 1
    for (let i = same; i < before.length; i += 1) press(KeyTable.XK_BackSpace, 'Backspace')
    write(after.slice(same).join(''))
    before = after
    const isComposing = event instanceof InputEvent && event.isComposing
    if (!isComposing && (after.length < 16 || after.length > 1024)) reset()
  }

  field.addEventListener('input', onInput)
  field.addEventListener('focus', reset)

  return {
    isSupported: matchMedia('(any-pointer: coarse)').matches,
    isOpen: () => document.activeElement === field,
    toggle() {
      if (document.activeElement === field) field.blur()
      else field.focus({ preventScroll: true })
    },
    /** @param {(open: boolean) => void} then */
    onChange(then) {
      field.addEventListener('focus', () => then(true))
      field.addEventListener('blur', () => then(false))
    },
  }
}
