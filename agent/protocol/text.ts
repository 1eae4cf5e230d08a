/**
 * The code points that Python's `str.strip()` removes (CPython 3.11, `str.isspace`).
 * JavaScript's `trim()` also removes U+FEFF and leaves U+001C–1F and U+0085, so it would resolve other owners.
 */
const pythonSpace: ReadonlySet<number> = new Set([
  ...[0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x1c, 0x1d, 0x1e, 0x1f, 0x20, 0x85, 0xa0, 0x1680],
  ...[0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200a],
  ...[0x2028, 0x2029, 0x202f, 0x205f, 0x3000],
])

/**
 * `value` without the white space that Python would strip at either end. Two scans, each in time proportional to what it
 * strips: a regular expression for the end tries again at every inner space.
 */
export const pythonStrip = (value: string): string => {
  let start = 0
  let end = value.length
  while (start < end && pythonSpace.has(value.charCodeAt(start))) start++
  while (end > start && pythonSpace.has(value.charCodeAt(end - 1))) end--
  return value.slice(start, end)
}

/** Whether `value` can be written as UTF-8, i.e. holds no lone surrogate. */
export const isWellFormed = (value: string): boolean => value.isWellFormed()

/** Whether `value` holds a control character (C0, DEL or C1; Unicode category Cc). */
export const hasControlCharacter = (value: string): boolean => /\p{Cc}/u.test(value)
