/**
 * What a state means to a person, and what can be done in it.
 * @typedef {import('./states.js').Action} Action
 * @typedef {import('./states.js').Look} Look
 * @typedef {import('./states.js').Searched} Searched
 */

/** @type {Readonly<Record<string, Look>>} */
const states = {
  pending: { tone: 'busy', main: [], more: ['delete'] },
  starting: { tone: 'busy', main: ['open'], more: ['watch', 'copy-cdp', 'copy-playwright', 'stop', 'delete'] },
  running: { tone: 'good', main: ['open', 'watch'], more: ['copy-cdp', 'copy-playwright', 'stop', 'delete'] },
  paused: { tone: 'still', main: ['open', 'resume'], more: ['copy-cdp', 'copy-playwright', 'stop', 'delete'] },
  stopping: { tone: 'busy', main: [], more: ['delete'] },
  stopped: { tone: 'still', main: ['start'], more: ['copy-cdp', 'copy-playwright', 'delete'] },
  failed: { tone: 'bad', main: ['start'], more: ['delete'] },
  lost: { tone: 'bad', main: ['start'], more: ['delete'] },
  deleting: { tone: 'busy', main: [], more: [] },
  deleted: { tone: 'still', main: [], more: [] },
}

/**
 * @param {string} state
 * @returns {Look} for a state of a newer gateway: shown, and
 * deletable (delete is legal from every state)
 */
export function lookOf(state) {
  return states[state] ?? { tone: 'still', main: [], more: ['delete'] }
}

/** @type {Readonly<Record<Action, string>>} */
export const actionNames = {
  open: 'Open',
  watch: 'Watch',
  'copy-cdp': 'Copy CDP URL',
  'copy-playwright': 'Copy Playwright code',
  pause: 'Pause',
  resume: 'Resume',
  stop: 'Stop',
  start: 'Start',
  delete: 'Delete…',
}

/** Groups behind the filter chips. */
export const groups = /** @type {const} */ ([
  { key: 'all', name: 'All', states: null },
  { key: 'running', name: 'Running', states: ['running'] },
  { key: 'moving', name: 'Starting or stopping', states: ['pending', 'starting', 'stopping', 'deleting'] },
  { key: 'resting', name: 'Stopped or paused', states: ['paused', 'stopped'] },
  { key: 'broken', name: 'Failed or lost', states: ['failed', 'lost'] },
])

/**
 * @param {Searched} runtime
 * @param {{ group: string, words: string }} wanted
 */
export function matches(runtime, { group, words }) {
  const states = groups.find(({ key }) => key === group)?.states ?? null
  if (states !== null && !(/** @type {readonly string[]} */ (states).includes(runtime.state))) return false
  const { id, owner, ownerHash, spec, host, mode, labels } = runtime
  const text = [id, owner, ownerHash, spec, host, mode, ...Object.entries(labels ?? {}).map(pair => pair.join('='))]
  const haystack = text.join('\n').toLowerCase()
  return words
    .toLowerCase()
    .split(/\s+/)
    .every(word => haystack.includes(word))
}
