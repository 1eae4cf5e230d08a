/**
 * What the live view decides without touching the page: how long to wait, what an answer means, what to tell a person.
 * @typedef {'connecting' | 'reconnecting' | 'waiting' | 'connected' | Rest | 'gone' | 'expired'} Phase
 * @typedef {'paused' | 'stopped' | 'failed' | 'lost'} Rest it stays so until somebody asks for it
 * @typedef {'retry' | 'waiting' | Rest | 'gone' | 'expired'} Verdict
 * @typedef {{ viewOnly: boolean, resize: 'scale' | 'remote' | 'off', quality: number | undefined }} Options
 * @typedef {{ title: string, detail: string, action?: 'reload' | 'resume' | undefined, busy: boolean }} Message
 */

const firstWaitMs = 250
const longestWaitMs = 5000

/**
 * Milliseconds to wait before a reconnect: 0.25 s, doubling to 5 s, up to a quarter less at random, so that a thousand
 * views of a gateway that restarts do not come back in the same instant.
 * @param {number} attempt 0 for the first
 * @param {() => number} [random] 0 ≤ x < 1
 */
export function backoffMs(attempt, random = Math.random) {
  const full = Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(attempt, 10))
  return Math.round(full * (1 - random() / 4))
}

/**
 * What to do after the socket closed, from the gateway's answer for the page's own address.
 * @param {{ status: number, state?: string | null | undefined }} answer status 0 when there was none; `state` is the
 * runtime's, where the gateway told it (a stopped one would otherwise be woken by the reconnect), or `away` with its host
 * @returns {Verdict}
 */
export function verdictOf({ status, state }) {
  if (status === 401 || status === 403) return 'expired'
  if (status === 404 || status === 410) return 'gone'
  if (status === 429 || status >= 500) return 'waiting'
  if (state === 'away') return 'waiting'
  if (state === 'stopped' || state === 'stopping') return 'stopped'
  if (state === 'paused' || state === 'failed' || state === 'lost') return state
  if (state === 'deleting' || state === 'deleted') return 'gone'
  return 'retry'
}

/**
 * Options from the page's fragment: `view_only=1`, `resize=scale|remote|off`, `quality=0-9`. Anything else is ignored.
 * @param {string} fragment
 * @returns {Options}
 */
export function optionsFrom(fragment) {
  const given = new URLSearchParams(fragment.replace(/^#/, ''))
  const resize = given.get('resize')
  const quality = given.get('quality') ?? ''
  return {
    viewOnly: ['1', 'true', 'yes', 'on'].includes(given.get('view_only') ?? ''),
    resize: resize === 'remote' || resize === 'off' ? resize : 'scale',
    quality: /^[0-9]$/.test(quality) ? Number(quality) : undefined,
  }
}

/** @type {Readonly<Record<Exclude<Phase, 'connected'>, Message>>} */
const messages = {
  connecting: { title: 'Connecting…', detail: '', busy: true },
  reconnecting: { title: 'Reconnecting…', detail: '', busy: true },
  waiting: { title: 'Waiting for the browser…', detail: 'Its host is not answering right now.', busy: true },
  paused: {
    title: 'This browser is paused',
    detail: 'Everything is kept as it was.',
    action: 'resume',
    busy: false,
  },
  stopped: {
    title: 'This browser was stopped',
    detail: 'By somebody, or because nobody used it for a while. Its profile is kept.',
    action: 'resume',
    busy: false,
  },
  failed: {
    title: 'This browser is not running',
    detail: 'It did not start, or ended by itself. Its profile is kept.',
    action: 'resume',
    busy: false,
  },
  lost: {
    title: 'This browser was lost',
    detail: 'The host that it ran on has gone. It can be started again.',
    action: 'resume',
    busy: false,
  },
  gone: {
    title: 'This browser was removed',
    detail: 'This link leads nowhere now.',
    busy: false,
  },
  expired: {
    title: 'Your link has expired',
    detail: 'Reload to sign in again with a new link or a token.',
    action: 'reload',
    busy: false,
  },
}

/** Where another site's page is around the view: what a reload would show (sign-in) is in no frame of others. */
const framedDetails = {
  gone: 'Load the page around this one again to get another.',
  expired: 'Load the page around this one again to get a new one.',
}

/** To who may not start it. */
const watcherDetails = {
  failed: 'It did not start, or ended by itself. Who may control it can start it again.',
  lost: 'The host that it ran on has gone. Who may control it can start it again.',
}

/** Why it does not run, or could not be started, by the gateway's code. @type {Readonly<Record<string, string>>} */
const reasons = {
  'no-capacity': 'There is no room for it right now. Try again in a moment.',
  'quota-exceeded': 'As many browsers are running as may. Stop one, or try again later.',
  'rate-limited': 'Too many were started just now. Try again in a minute.',
  'profile-unavailable': 'The host that keeps its profile is away. Try again later.',
  'host-unreachable': 'Its host is not answering right now. Try again in a moment.',
  'start-timeout': 'It was not ready in time. Its profile is kept.',
  'insufficient-scope': 'Your link is for watching only: somebody else has to start it.',
}

/**
 * What to tell the person, or undefined while connected.
 * @param {Phase} phase
 * @param {{ isFramed?: boolean, viewOnly?: boolean, why?: string | null | undefined }} [how] `isFramed`: in a frame of another
 * site; `viewOnly`: who watches may wake, but not start; `why`: a code of the gateway's
 * @returns {Message | undefined}
 */
export function messageOf(phase, { isFramed = false, viewOnly = false, why } = {}) {
  if (phase === 'connected') return undefined
  const message = messages[phase]
  if (phase === 'failed' || phase === 'lost')
    return {
      ...message,
      detail: reasons[why ?? ''] ?? (viewOnly ? watcherDetails[phase] : message.detail),
      action: viewOnly ? undefined : message.action,
    }
  if (!isFramed || (phase !== 'gone' && phase !== 'expired')) return message
  return { title: message.title, detail: framedDetails[phase], busy: false }
}
