import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureInstalled } from './install.mjs'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/**
 * Installs what is missing, then runs a TypeScript file with the repo's own Node, and ends as it ends.
 * @param {string[]} argv the script, relative to the repo, and its arguments
 */
export async function main(argv) {
  const [script, ...args] = argv
  if (!script || !existsSync(join(root, script))) {
    throw Object.assign(new Error(`usage: node infra/bootstrap.mjs <script.ts> [arguments]; there is no ${script}`), {
      explained: true,
    })
  }
  await ensureInstalled(root)
  // The ipc channel tells the script when this process is killed outright, which forwards no signal.
  const child = spawn(join(root, 'node_modules/.bin/node'), [script, ...args], {
    cwd: root,
    // Compiled code, types stripped, is kept between runs: it is half of what a start costs.
    env: { NODE_COMPILE_CACHE: join(root, '.porthole/compile-cache'), ...process.env },
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => child.kill(signal))
  if (process.env.npm_lifecycle_event) endWithParent(() => child.kill('SIGTERM'))
  child.on('error', error => {
    console.error(`The repo's Node does not start (${error.message}). Remove node_modules and run the command again.`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : (code ?? 1)))
}

/**
 * npm passes a TERM on to the shell between it and us, and that one dies without a word. No event tells, so we look.
 * @param {() => void} end
 */
function endWithParent(end) {
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    end()
  }, 500)
  timer.unref()
}
