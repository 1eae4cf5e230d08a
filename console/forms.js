import { showFault } from './notices.js'
import { byId, closable } from './page.js'

/** @typedef {import('./api.js').Runtime} Runtime */

/**
 * Runs a form's action with its button held and its fault shown in place.
 * @param {HTMLFormElement} form
 * @param {HTMLButtonElement} button
 * @param {HTMLElement} place
 * @param {() => Promise<void>} action
 */
function onSubmit(form, button, place, action) {
  form.addEventListener('submit', async event => {
    event.preventDefault()
    showFault(place)
    button.disabled = true
    try {
      await action()
    } catch (error) {
      showFault(place, error)
    } finally {
      button.disabled = false
    }
  })
}

/** @param {{ create: (wanted: Record<string, string>) => Promise<void> }} needs */
export function createNewForm({ create }) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('create'))
  const form = /** @type {HTMLFormElement} */ (byId('create-form'))
  const owner = /** @type {HTMLInputElement} */ (byId('owner'))
  closable(dialog)
  const mode = () => String(new FormData(form).get('mode'))

  const fit = () => {
    const isShared = mode() === 'shared'
    byId('owner-part').hidden = isShared
    owner.disabled = isShared
    byId('owner-label').textContent = mode() === 'docker-per-task' ? 'Task id' : 'User id'
    owner.placeholder = mode() === 'docker-per-task' ? 'checkout-crawl-17' : 'alice'
  }
  form.addEventListener('change', fit)
  onSubmit(form, /** @type {HTMLButtonElement} */ (byId('create-go')), byId('create-fault'), async () => {
    const id = owner.value.trim()
    const names = { 'docker-per-principal': { userId: id }, 'docker-per-task': { taskId: id } }
    await create({ mode: mode(), ...names[/** @type {keyof typeof names} */ (mode())] })
    dialog.close()
    owner.value = ''
  })

  return () => {
    showFault(byId('create-fault'))
    fit()
    dialog.showModal()
    if (!owner.disabled) owner.focus()
  }
}

/** @param {{ remove: (runtime: Runtime, withProfile: boolean) => Promise<void> }} needs */
export function createRemoveForm({ remove }) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('remove'))
  const form = /** @type {HTMLFormElement} */ (byId('remove-form'))
  /** @type {Runtime | undefined} */
  let target
  closable(dialog)
  onSubmit(form, /** @type {HTMLButtonElement} */ (byId('remove-go')), byId('remove-fault'), async () => {
    if (!target) return
    const isTask = target.mode === 'docker-per-task'
    await remove(target, !isTask && new FormData(form).get('profile') === 'delete')
    dialog.close()
  })

  /** @param {Runtime} runtime */
  return runtime => {
    target = runtime
    const isTask = runtime.mode === 'docker-per-task'
    form.reset()
    showFault(byId('remove-fault'))
    byId('remove-owner').textContent = runtime.owner
    byId('remove-profile').hidden = isTask
    byId('remove-task').hidden = !isTask
    dialog.showModal()
  }
}
