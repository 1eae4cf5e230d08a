import { age, modeName } from './format.js'
import { dots, moveInMenu, placeMenu } from './menu.js'
import { faultBox } from './notices.js'
import { arrange, make, setText } from './page.js'
import { actionNames, lookOf } from './states.js'

/**
 * @typedef {import('./api.js').Runtime} Runtime
 * @typedef {import('./states.js').Action} Action
 */

/**
 * One runtime in the list. Made once; a refresh changes what changed, so focus, selection and open details stay.
 * @param {string} id
 * @param {(action: Action, runtime: Runtime) => Promise<void>} act
 */
export function createRow(id, act) {
  /** @type {Runtime | undefined} */
  let current
  const pill = make('span', { class: 'pill' })
  const owner = make('h2', { class: 'owner' })
  const subline = make('p', { class: 'subline' })
  const host = make('span', { class: 'host' })
  const since = make('span', { class: 'age' })
  const main = make('div', { class: 'main' })
  const menu = make('div', { class: 'menu', popover: 'auto', id: `menu-${id}`, role: 'menu' })
  const menuButton = make('button', {
    type: 'button',
    class: 'quiet icon',
    'aria-haspopup': 'menu',
    popovertarget: menu.id,
  })
  menuButton.append(dots())
  const error = make('div', { class: 'error', hidden: '' })
  const tail = make('pre', { tabindex: '0' })
  const tailBox = make('details', { class: 'tail', hidden: '' }, make('summary', {}, 'Last lines of its log'), tail)
  const errorText = make('p', { class: 'error-text' })
  error.append(errorText, tailBox)
  const facts = make('dl', { class: 'facts-list' })
  const details = make('details', { class: 'more' }, make('summary', {}, 'Details'), facts)
  const fault = make('div', { role: 'alert' })
  const element = make(
    'li',
    { class: 'row' },
    pill,
    make('div', { class: 'who' }, owner, subline),
    make('div', { class: 'where' }, host, since),
    make('div', { class: 'actions' }, main, menuButton, menu),
    error,
    fault,
    details,
  )

  /** @type {Map<Action, HTMLButtonElement>} */
  const buttons = new Map()
  /** @param {Action} action @param {boolean} inMenu */
  const buttonFor = (action, inMenu) => {
    const known = buttons.get(action)
    const button = known ?? make('button', { type: 'button' }, actionNames[action])
    if (!known) {
      button.addEventListener('click', () => void run(action))
      buttons.set(action, button)
    }
    button.className = action === 'delete' ? 'danger-text' : inMenu ? '' : action === 'open' ? 'primary' : 'plain'
    if (inMenu) button.setAttribute('role', 'menuitem')
    else button.removeAttribute('role')
    return button
  }

  /** @param {Action} action */
  async function run(action) {
    if (!current) return
    menu.hidePopover()
    fault.replaceChildren()
    element.setAttribute('aria-busy', 'true')
    try {
      await act(action, current)
    } catch (problem) {
      fault.replaceChildren(closableFault(problem))
    } finally {
      element.removeAttribute('aria-busy')
    }
  }

  /** @param {unknown} problem */
  const closableFault = problem => {
    const box = faultBox(problem)
    const close = make('button', { type: 'button', class: 'quiet' }, 'Dismiss')
    close.addEventListener('click', () => box.remove())
    box.append(close)
    return box
  }

  menu.addEventListener('toggle', event => {
    if (/** @type {ToggleEvent} */ (event).newState !== 'open') return
    placeMenu(menu, menuButton)
    menu.querySelector('button')?.focus()
  })
  menu.addEventListener('keydown', moveInMenu)

  return {
    element,
    /** @param {Runtime} runtime @param {number} now @param {ReadonlyMap<string, string>} hostNames by id */
    update(runtime, now, hostNames) {
      current = runtime
      const look = lookOf(runtime.state)
      setText(pill, runtime.state)
      pill.dataset.tone = look.tone
      element.dataset.tone = look.tone
      setText(owner, runtime.owner)
      owner.title = runtime.owner
      setText(subline, `${modeName(runtime.mode)} · ${runtime.spec}`)
      setText(host, hostNames.get(runtime.host ?? '') ?? runtime.host ?? 'no host yet')
      host.title = runtime.host ?? ''
      const old = age(runtime.createdAt, now)
      setText(since, old === 'now' ? 'just made' : `${old} old`)
      since.title = `Made ${runtime.createdAt}, last used ${age(runtime.lastUsedAt, now)} ago`
      menuButton.setAttribute('aria-label', `More for ${runtime.owner}`)
      arrange(
        main,
        look.main.map(action => buttonFor(action, false)),
      )
      arrange(
        menu,
        look.more.map(action => buttonFor(action, true)),
      )
      menuButton.hidden = look.more.length === 0
      for (const [action, button] of buttons) {
        const inMain = look.main.includes(action)
        if (inMain) button.setAttribute('aria-label', `${actionNames[action]}, ${runtime.owner}`)
        else button.removeAttribute('aria-label')
      }
      showError(runtime.error)
      showFacts(runtime, now)
    },
  }

  /** @param {Runtime['error']} given */
  function showError(given) {
    error.hidden = given === undefined
    if (given === undefined) return
    const detail = given.detail ?? 'No reason was given'
    const isTold = given.exitCode === undefined || detail.includes(String(given.exitCode))
    const facts = [given.code, isTold ? undefined : `exit code ${given.exitCode}`].filter(Boolean).join(', ')
    setText(errorText, facts ? `${detail} (${facts})` : detail)
    tailBox.hidden = !given.logTail
    setText(tail, given.logTail ?? '')
  }

  /** @param {Runtime} runtime @param {number} now */
  function showFacts(runtime, now) {
    if (!details.open && facts.childElementCount > 0) return // filled when it is looked at
    const { urls } = runtime
    const rows = {
      Id: runtime.id,
      'Owner hash': runtime.ownerHash,
      Generation: String(runtime.generation),
      Made: runtime.createdAt,
      Ready: runtime.readyAt ?? '—',
      'Last used': runtime.lastUsedAt ? `${age(runtime.lastUsedAt, now)} ago` : '—',
      Expires: runtime.expiresAt ?? 'never',
      Labels:
        Object.entries(runtime.labels ?? {})
          .map(pair => pair.join('='))
          .join(', ') || '—',
      View: urls?.view || '—',
      CDP: urls?.cdp || '—',
      RPC: urls?.rpc || '—',
      ...Object.fromEntries(Object.entries(urls?.ports ?? {}).map(([name, url]) => [`Port ${name}`, url])),
    }
    const known = [...facts.querySelectorAll('dt')].map(term => term.textContent).join()
    if (known !== Object.keys(rows).join())
      facts.replaceChildren(...Object.keys(rows).map(name => make('div', {}, make('dt', {}, name), make('dd'))))
    Object.values(rows).forEach((value, index) => {
      const cell = facts.querySelectorAll('dd')[index]
      if (cell) setText(cell, value)
    })
  }
}
