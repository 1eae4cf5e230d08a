/**
 * What the sign-in page tells a person.
 * @typedef {'missing' | 'expired' | 'used' | 'gone' | 'not-kept'} Reason
 */

/** @type {Readonly<Record<Reason, { title: string, why: string }>>} */
const reasons = {
  missing: {
    title: 'This live view needs a link',
    why: 'This page shows a browser that runs somewhere else. To see it you need a link made for you, or a token.',
  },
  expired: {
    title: 'Your link has expired',
    why: 'Links and sign-ins to a live view end after a while. Nothing happened to the browser itself: ask for a new link, or paste a token.',
  },
  used: {
    title: 'This link was already used',
    why: 'A link to a live view opens once, in one browser. If it was not you, or you need it again, ask for a new one.',
  },
  gone: {
    title: 'This browser was removed',
    why: 'It was deleted, so there is nothing left to watch. Ask for a link to another one.',
  },
  'not-kept': {
    title: 'Your browser did not keep the sign-in',
    why: 'The gateway accepted the token, but its cookie did not stay. Private windows and pages inside another site’s frame often refuse cookies: open this view in a tab of its own.',
  },
}

/**
 * @param {string | undefined} reason as the gateway gave it; an unknown one counts as `missing`
 * @returns {{ title: string, why: string }}
 */
export function wordsFor(reason) {
  return Object.hasOwn(reasons, reason ?? '') ? reasons[/** @type {Reason} */ (reason)] : reasons.missing
}

/**
 * Why a token did not open the view, in plain words.
 * @param {number} status of `POST session`; 0 when nothing answered
 * @returns {string}
 */
export function faultFor(status) {
  switch (status) {
    case 0:
      return 'The gateway did not answer. Check your connection and try again.'
    case 401:
      return 'This token is not valid any more, or was not copied completely.'
    case 403:
      return 'This token is valid, but may not be used to open live views (it lacks the scope runtimes:connect, or is for another owner).'
    case 404:
      return 'There is no such browser for this token. It may belong to somebody else, or the address may be wrong.'
    case 410:
      return 'This browser was deleted, so there is nothing left to watch.'
    case 429:
      return 'Too many attempts. Wait a minute, then try again.'
    default:
      return status >= 500
        ? `The gateway can’t open the view right now (it answered ${status}). Try again in a moment.`
        : `The gateway did not accept this (it answered ${status}).`
  }
}

/**
 * The address that exchanges a token for the view's cookie, from any page below `/view/:ownerHash`.
 * @param {string} pathname
 * @returns {string} a path
 */
export function sessionPath(pathname) {
  const view = /^.*\/view\/[0-9a-f]{16}(?=\/|$)/.exec(pathname)
  return view ? `${view[0]}/session` : `${pathname.replace(/[^/]*$/, '')}session`
}
