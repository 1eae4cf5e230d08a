import { pythonStrip } from '@porthole/protocol'

const intLiteral = /^[+-]?\p{Nd}+(?:_\p{Nd}+)*$/u
const isDecimalDigit = (codePoint: number): boolean => /^\p{Nd}$/u.test(String.fromCodePoint(codePoint))

/** CPython refuses to parse longer integers (`sys.int_info.default_max_str_digits`). */
const maxDigits = 4300

/** The value of a Unicode decimal digit: they stand in runs of ten that begin with zero (Unicode stability policy). */
const digitValue = (digit: string): number => {
  const codePoint = digit.codePointAt(0) ?? 0
  let zero = codePoint
  while (isDecimalDigit(zero - 1)) zero--
  return (codePoint - zero) % 10
}

/**
 * What Python's `int(value)` gives for a string, or undefined where it raises ValueError. It accepts more than
 * `parseInt` ("٣", "1_000", " +7 ") and less ("12abc"). Beyond 2^53 the result is rounded.
 */
export const pythonInt = (value: string): number | undefined => {
  const text = pythonStrip(value)
  if (!intLiteral.test(text)) return undefined
  const digits = [...text].filter(char => /^\p{Nd}$/u.test(char))
  if (digits.length > maxDigits) return undefined
  const magnitude = Number(digits.map(digitValue).join(''))
  return text.startsWith('-') ? -magnitude : magnitude
}

/**
 * `max(1, int(value))`, or `fallback` where Python's int() raises TypeError or ValueError (PARITY B3).
 * @throws RangeError for an infinite number, as Python's OverflowError.
 */
export const asInt = (value: unknown, fallback: number): number => {
  const parsed = intOf(value)
  return parsed === undefined ? fallback : Math.max(1, parsed)
}

const intOf = (value: unknown): number | undefined => {
  if (typeof value === 'string') return pythonInt(value)
  if (typeof value === 'boolean') return value ? 1 : 0
  if (typeof value !== 'number' || Number.isNaN(value)) return undefined
  if (!Number.isFinite(value)) throw new RangeError('an infinite number has no integer value')
  return Math.trunc(value)
}

const trueWords: readonly string[] = ['1', 'true', 'yes', 'on']

/** True only for 1, true, yes and on, stripped and in any case; `fallback` for null and undefined (PARITY B3). */
export const asBool = (value: unknown, fallback: boolean): boolean => {
  if (value === null || value === undefined) return fallback
  if (typeof value === 'boolean') return value
  return trueWords.includes(pythonStrip(String(value)).toLowerCase())
}
