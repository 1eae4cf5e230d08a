import { arrange, byId, make } from './page.js'
import { createRow } from './row.js'
import { groups, matches } from './states.js'

/**
 * @typedef {import('./api.js').Runtime} Runtime
 * @typedef {import('./states.js').Action} Action
 */

/**
 * The list of runtimes with its filters.
 * @param {{ act: (action: Action, runtime: Runtime) => Promise<void> }} needs
 */
export function createList({ act }) {
  const search = /** @type {HTMLInputElement} */ (byId('search'))
  /** @type {Map<string, ReturnType<typeof createRow>>} */
  const rows = new Map()
  /** @type {Runtime[]} */
  let runtimes = []
  let group = 'all'
  let hasMore = false
  /** @type {ReadonlyMap<string, string>} */
  let hostNames = new Map()
  /** @type {string | undefined} */
  let fresh

  const chips = groups.map(({ key, name }) => {
    const count = make('span', { class: 'count' })
    const chip = make('button', { type: 'button', class: 'chip' }, name, ' ', count)
    chip.addEventListener('click', () => {
      group = key
      draw()
    })
    return { key, chip, count }
  })
  byId('chips').append(...chips.map(({ chip }) => chip))
  search.addEventListener('input', draw)

  function draw() {
    const now = Date.now()
    for (const { key, chip, count } of chips) {
      const many = runtimes.filter(runtime => matches(runtime, { group: key, words: '' })).length
      count.textContent = `${many}${hasMore ? '+' : ''}`
      chip.setAttribute('aria-pressed', String(key === group))
      chip.hidden = many === 0 && key !== 'all' && key !== group
    }
    const shown = runtimes.filter(runtime => matches(runtime, { group, words: search.value.trim() }))
    for (const id of rows.keys()) if (!runtimes.some(runtime => runtime.id === id)) rows.delete(id)
    const elements = shown.map(runtime => {
      const row = rows.get(runtime.id) ?? createRow(runtime.id, act)
      rows.set(runtime.id, row)
      row.update(runtime, now, hostNames)
      row.element.classList.toggle('fresh', runtime.id === fresh)
      return row.element
    })
    arrange(byId('runtimes'), elements)
    byId('empty').hidden = shown.length > 0
    byId('empty-title').textContent = runtimes.length === 0 ? 'No browsers yet' : 'Nothing matches'
    byId('empty-detail').textContent =
      runtimes.length === 0 ? 'Start one here, or with POST /v1/runtimes.' : 'Try another state or fewer words.'
  }

  return {
    /** @param {Runtime[]} next newest first @param {boolean} more whether there are further pages */
    show(next, more) {
      runtimes = next
      hasMore = more
      byId('more').hidden = !more
      draw()
    },
    /** @param {readonly import('./api.js').Host[]} hosts */
    nameHosts(hosts) {
      hostNames = new Map(hosts.map(({ id, name }) => [id, name]))
      draw()
    },
    /** Marks the one that was just made. @param {string} id */
    mark(id) {
      fresh = id
      group = 'all'
      search.value = ''
    },
    clear() {
      rows.clear()
      runtimes = []
      byId('runtimes').replaceChildren()
    },
  }
}
