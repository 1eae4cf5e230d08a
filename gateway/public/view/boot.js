/**
 * Loads the view. Some forty modules come over the network, and a single one lost (a laptop that changes networks) would
 * leave a page that says "Connecting…" for ever: a module that failed is not asked for again until the page is reloaded.
 */
const mostReloads = 5

try {
  await import('./view.js')
  if (history.state?.reloads) history.replaceState(null, '')
} catch (error) {
  console.error(error)
  const reloads = Number(history.state?.reloads ?? 0)
  if (reloads < mostReloads) await reloadWhenThere(reloads + 1)
  else giveUp()
}

/** @param {number} count */
async function reloadWhenThere(count) {
  history.replaceState({ reloads: count }, '')
  for (let attempt = count; ; attempt += 1) {
    await new Promise(resolve => setTimeout(resolve, Math.min(5000, 250 * 2 ** attempt)))
    const answer = await fetch(location.pathname, {
      credentials: 'same-origin',
      cache: 'no-store',
      signal: AbortSignal.timeout(10_000),
    }).catch(() => undefined)
    if (answer) return location.reload() // whatever it answers now, it is the page to show
  }
}

function giveUp() {
  history.replaceState(null, '')
  const pill = document.getElementById('status')
  const title = document.getElementById('status-title')
  const button = document.getElementById('status-action')
  if (!pill || !title || !button) return
  pill.hidden = false
  pill.dataset.busy = 'false'
  pill.dataset.phase = 'expired'
  title.textContent = 'The live view could not be loaded'
  button.textContent = 'Reload'
  button.hidden = false
  button.addEventListener('click', () => location.reload())
}

export {} // a module, for `await` at the top
