/** A key as `Input.dispatchKeyEvent` wants it. */
export type Key = { key: string; code: string; windowsVirtualKeyCode: number; text?: string }

/** A key and the modifiers held with it; `modifiers` is DevTools' bit field. */
export type Chord = { key: Key; modifiers: number }

const modifierBits: Record<string, number> = { Alt: 1, Control: 2, Meta: 4, Shift: 8 }

const named: Record<string, Key> = {
  Enter: { key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 13, text: '\r' },
  Tab: { key: 'Tab', code: 'Tab', windowsVirtualKeyCode: 9 },
  Escape: { key: 'Escape', code: 'Escape', windowsVirtualKeyCode: 27 },
  Backspace: { key: 'Backspace', code: 'Backspace', windowsVirtualKeyCode: 8 },
  Delete: { key: 'Delete', code: 'Delete', windowsVirtualKeyCode: 46 },
  Insert: { key: 'Insert', code: 'Insert', windowsVirtualKeyCode: 45 },
  Home: { key: 'Home', code: 'Home', windowsVirtualKeyCode: 36 },
  End: { key: 'End', code: 'End', windowsVirtualKeyCode: 35 },
  PageUp: { key: 'PageUp', code: 'PageUp', windowsVirtualKeyCode: 33 },
  PageDown: { key: 'PageDown', code: 'PageDown', windowsVirtualKeyCode: 34 },
  ArrowLeft: { key: 'ArrowLeft', code: 'ArrowLeft', windowsVirtualKeyCode: 37 },
  ArrowUp: { key: 'ArrowUp', code: 'ArrowUp', windowsVirtualKeyCode: 38 },
  ArrowRight: { key: 'ArrowRight', code: 'ArrowRight', windowsVirtualKeyCode: 39 },
  ArrowDown: { key: 'ArrowDown', code: 'ArrowDown', windowsVirtualKeyCode: 40 },
  Space: { key: ' ', code: 'Space', windowsVirtualKeyCode: 32, text: ' ' },
}

const functionKey = (name: string): Key | undefined => {
  const number = Number(/^F(\d{1,2})$/.exec(name)?.[1] ?? 0)
  return number >= 1 && number <= 12 ? { key: name, code: name, windowsVirtualKeyCode: 111 + number } : undefined
}

const character = (name: string): Key | undefined => {
  if ([...name].length !== 1) return undefined
  const upper = name.toUpperCase()
  if (/^[A-Z]$/.test(upper)) {
    return { key: name, code: `Key${upper}`, windowsVirtualKeyCode: upper.charCodeAt(0), text: name }
  }
  if (/^\d$/.test(name))
    return { key: name, code: `Digit${name}`, windowsVirtualKeyCode: name.charCodeAt(0), text: name }
  return { key: name, code: '', windowsVirtualKeyCode: 0, text: name }
}

/** Reads `Control+Shift+K`, `Enter` or `+`; undefined when there is no such key. */
export const parseChord = (value: string): Chord | undefined => {
  const parts =
    value === '+' ? ['+'] : value.endsWith('++') ? [...value.slice(0, -2).split('+'), '+'] : value.split('+')
  const name = parts.pop() ?? ''
  let modifiers = 0
  for (const part of parts) {
    const bit = Object.hasOwn(modifierBits, part) ? modifierBits[part] : undefined
    if (bit === undefined) return undefined
    modifiers |= bit
  }
  const key = (Object.hasOwn(named, name) ? named[name] : undefined) ?? functionKey(name) ?? character(name)
  if (key === undefined) return undefined
  // With Control, Alt or Meta held a key is a command and writes nothing.
  const { text, ...silent } = key
  return { key: (modifiers & ~8) === 0 && text !== undefined ? { ...silent, text } : silent, modifiers }
}
