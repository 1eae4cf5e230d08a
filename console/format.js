/** Words and numbers for people. Pure. */

/** @type {readonly [string, number][]} */
const steps = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
]

/**
 * How long ago, short: `now`, `12 s`, `5 min`, `3 h 10 min`, `2 d`.
 * @param {string | null | undefined} iso
 * @param {number} now milliseconds since 1970
 * @returns {string} `—` when there is no time, or not one that can be read
 */
export function age(iso, now) {
  const then = iso ? Date.parse(iso) : Number.NaN
  if (Number.isNaN(then)) return '—'
  const seconds = Math.floor((now - then) / 1000)
  if (seconds < 2) return 'now' // and for a clock that is a little off
  if (seconds < 60) return `${seconds} s`
  const at = steps.findIndex(([, size]) => seconds >= size)
  const [unit, size] = steps[at] ?? ['min', 60]
  const whole = Math.floor(seconds / size)
  const rest = Math.floor((seconds % size) / (steps[at + 1]?.[1] ?? Infinity))
  return unit === 'min' || whole >= 10 || rest === 0
    ? `${whole} ${unit}`
    : `${whole} ${unit} ${rest} ${steps[at + 1]?.[0]}`
}

/**
 * @param {number} amount of bytes
 * @returns {string} in GiB, or MiB below one
 */
export function bytes(amount) {
  const gib = amount / 2 ** 30
  if (gib < 1 && amount > 0) return `${Math.round(amount / 2 ** 20)} MiB`
  return `${gib >= 10 || Number.isInteger(gib) ? Math.round(gib) : gib.toFixed(1)} GiB`
}

/** @param {number} millis thousandths of a CPU */
export function cpus(millis) {
  const whole = millis / 1000
  return Number.isInteger(whole) ? String(whole) : whole.toFixed(1)
}

/** How a mode reads. @param {string} mode */
export function modeName(mode) {
  if (mode === 'docker-per-principal') return 'Person'
  if (mode === 'docker-per-task') return 'Task'
  if (mode === 'shared') return 'Shared'
  return mode
}

/**
 * What a token says of itself, to show it; only the gateway can tell whether it is true.
 * @param {string} token
 * @returns {{ tenant?: string, owner?: string, expiresAt?: number }} `expiresAt` in milliseconds
 */
export function claimsOf(token) {
  try {
    const middle = (token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/')
    const bytes = Uint8Array.from(atob(middle), character => character.charCodeAt(0))
    const claims = JSON.parse(new TextDecoder().decode(bytes))
    return {
      ...(typeof claims.tenant === 'string' ? { tenant: claims.tenant } : {}),
      ...(typeof claims.owner === 'string' ? { owner: claims.owner } : {}),
      ...(typeof claims.exp === 'number' ? { expiresAt: claims.exp * 1000 } : {}),
    }
  } catch {
    return {}
  }
}

/**
 * A program that drives the browser. The token stays out of it: programs are pasted into chats.
 * @param {string} cdpUrl
 */
export function playwrightSnippet(cdpUrl) {
  return [
    "import { chromium } from 'playwright'",
    '',
    `const browser = await chromium.connectOverCDP(${JSON.stringify(cdpUrl)}, {`,
    `  headers: { Authorization: \`Bearer \${process.env.PORTHOLE_TOKEN}\` },`,
    '})',
    'const page = browser.contexts()[0].pages()[0] ?? (await browser.contexts()[0].newPage())',
    "await page.goto('https://example.com')",
    '',
  ].join('\n')
}
