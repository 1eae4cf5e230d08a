import { age, bytes, cpus } from './format.js'
import { byId, make } from './page.js'

/** @typedef {import('./api.js').Host} Host */

/** @type {Readonly<Record<string, string>>} */
const tones = { live: 'good', unreachable: 'bad', new: 'busy' }

/** How full: a bar and its numbers. @param {number} used @param {number} all @param {(amount: number) => string} text */
function gauge(used, all, text) {
  const share = all > 0 ? Math.min(1, used / all) : 0
  const fill = make('span', { class: 'fill' })
  fill.style.inlineSize = `${Math.round(share * 100)}%`
  fill.dataset.level = share >= 0.9 ? 'full' : share >= 0.7 ? 'high' : 'fine'
  return make(
    'td',
    { class: 'gauge' },
    make('span', { class: 'amount' }, `${text(used)} of ${text(all)}`),
    make('span', { class: 'track', 'aria-hidden': 'true' }, fill),
  )
}

/** @param {Host} host @param {number} now */
function hostRow(host, now) {
  const state = host.state === 'live' && !host.schedulable ? 'cordoned' : host.state
  const pill = make('span', { class: 'pill', 'data-tone': tones[state] ?? 'still' }, state)
  if (state !== 'cordoned' && !host.schedulable) pill.append(', cordoned')
  const { capacity, reserved } = host
  return make(
    'tr',
    {},
    make('th', { scope: 'row' }, make('b', {}, host.name), make('small', { title: host.url }, host.id)),
    make('td', {}, pill),
    gauge(reserved.memoryBytes, capacity.memoryBytes, bytes),
    gauge(reserved.cpuMillis, capacity.cpuMillis, cpus),
    gauge(reserved.slots, capacity.slots, String),
    capacity.gpus > 0 ? gauge(reserved.gpus, capacity.gpus, String) : make('td', {}, '—'),
    make('td', {}, Number(host.load).toFixed(2)),
    make('td', {}, host.engineVersion || '—'),
    make('td', {}, host.lastSeenAt ? `${age(host.lastSeenAt, now)} ago`.replace('now ago', 'now') : 'never'),
  )
}

/** @param {Host[] | undefined} hosts undefined: this token may not see them */
export function showHosts(hosts) {
  byId('hosts').hidden = hosts === undefined
  if (hosts === undefined) return
  const rows = hosts.map(host => hostRow(host, Date.now()))
  const none = make('tr', {}, make('td', { colspan: '9', class: 'soft' }, 'No host has joined yet.'))
  byId('host-rows').replaceChildren(...(rows.length > 0 ? rows : [none]))
}
