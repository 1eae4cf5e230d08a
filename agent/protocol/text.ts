/**
 * The code points that Python's `str.strip()` removes (CPython 3.11, `str.isspace`).
 * JavaScript's `trim()` also removes U+FEFF and leaves U+001C–1F and U+0085, so it would resolve other owners.
 */
const pythonSpace =
  '\\u0009-\\u000d\\u001c-\\u0020\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'
const pythonEnds = new RegExp(`^[${pythonSpace}]+|[${pythonSpace}]+$`, 'g')

/** `value` without the white space that Python would strip at either end. */
export const pythonStrip = (value: string): string => value.replace(pythonEnds, '')

/** Whether `value` can be written as UTF-8, i.e. holds no lone surrogate. */
export const isWellFormed = (value: string): boolean => value.isWellFormed()

/** Whether `value` holds a control character (C0, DEL or C1; Unicode category Cc). */
export const hasControlCharacter = (value: string): boolean => /\p{Cc}/u.test(value)
