/**
 * Does something again and again while the page is looked at: at once, then `everyMs` after it was done, more rarely while
 * it fails, not at all in a hidden tab.
 * @param {object} needs
 * @param {() => Promise<boolean>} needs.work whether it went well; must not reject
 * @param {number} needs.everyMs
 * @param {number} needs.slowestMs
 */
export function createPoll({ work, everyMs, slowestMs }) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer
  let isOn = false
  let isAtWork = false
  let again = false
  let failures = 0

  async function step() {
    clearTimeout(timer)
    if (!isOn || document.visibilityState !== 'visible') return
    if (isAtWork) {
      again = true
      return
    }
    isAtWork = true
    failures = (await work()) ? 0 : failures + 1
    isAtWork = false
    if (!isOn) return
    if (again) {
      again = false
      return void step()
    }
    timer = setTimeout(step, Math.min(slowestMs, everyMs * 2 ** Math.min(failures, 8)))
  }

  document.addEventListener('visibilitychange', step)
  window.addEventListener('online', step)

  return {
    start() {
      isOn = true
      failures = 0
      void step()
    },
    stop() {
      isOn = false
      clearTimeout(timer)
    },
    /** Now, and once more if it is at it: what it reads may be older than what was just done. */
    now: () => void step(),
  }
}
