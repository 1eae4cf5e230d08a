import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { withInstallLock } from './install-lock.mjs'

const logTail = 40

/**
 * Installs the dependencies unless the lockfile they were installed from is still the same. The stamp is removed before
 * and written after an install, so one that was killed half-way is done again.
 * @param {string} root the repo's folder
 */
export async function ensureInstalled(root) {
  if (isInstalled(root)) return
  mkdirSync(join(root, '.porthole'), { recursive: true })
  await withInstallLock(join(root, '.porthole/install.lock'), async recordChild => {
    if (isInstalled(root)) return
    rmSync(stampOf(root), { force: true })
    await install(root, recordChild)
    writeFileSync(stampOf(root), wanted(root))
  })
}

const stampOf = root => join(root, 'node_modules/.porthole-installed')

/** What a finished install is good for: this lockfile on this kind of machine (a folder can be mounted elsewhere). */
const wanted = root =>
  createHash('sha256')
    .update(readFileSync(join(root, 'pnpm-lock.yaml')))
    .update(`${process.platform}-${process.arch}`)
    .digest('hex')

function isInstalled(root) {
  try {
    return readFileSync(stampOf(root), 'utf8') === wanted(root) && existsSync(join(root, 'node_modules/.bin/node'))
  } catch {
    return false
  }
}

async function install(root, recordChild) {
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const lines = []
  const progress = startProgress('Installing dependencies')
  const child = spawn('npx', ['-y', packageManager, 'install', '--frozen-lockfile', '--reporter=append-only'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      CI: 'true', // asks nothing
      npm_config_loglevel: 'error',
      npm_config_update_notifier: 'false',
      npm_config_audit: 'false',
      npm_config_fund: 'false',
      // npx has fetched the very version that package.json names; without this pnpm wants to record itself in the lockfile.
      pnpm_config_pm_on_fail: 'ignore',
    },
  })
  if (child.pid) recordChild(child.pid)
  const stop = signal => child.kill(signal)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, stop)
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', text => {
      for (const line of text.split('\n').filter(Boolean)) {
        lines.push(line)
        if (lines.length > logTail) lines.shift()
        if (/^(Progress|Downloading|\.)/.test(line)) progress.update(line.replace(/, done$/, ''))
      }
    })
  }
  const failure = await new Promise(resolve => {
    child.on('error', error => resolve(error.message))
    child.on('close', (code, signal) => resolve(code === 0 ? '' : (signal ?? `exit code ${code}`)))
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.off(signal, stop)
  progress.end(failure === '')
  if (failure) {
    throw Object.assign(
      new Error(
        `${lines.join('\n')}\n\nInstalling the dependencies failed (${failure}): see above, then run it again.`,
      ),
      { explained: true },
    )
  }
}

/** A live line with the time on a terminal, elsewhere a line at the start, every 10 s, and at the end. */
function startProgress(title) {
  const started = Date.now()
  const live = process.stderr.isTTY
  let detail = ''
  const seconds = () => `${((Date.now() - started) / 1000).toFixed(live ? 1 : 0)} s`
  const draw = () => {
    const width = (process.stderr.columns || 80) - 1
    process.stderr.write(`\r\x1b[2K${`… ${title}  ${seconds()}  ${detail}`.slice(0, width)}`)
  }
  const plain = () => console.error(`… ${title} (${seconds()}) ${detail}`)
  if (!live) console.error(`… ${title}`)
  const timer = setInterval(live ? draw : plain, live ? 200 : 10_000)
  return {
    update: text => {
      detail = text
    },
    end: ok => {
      clearInterval(timer)
      process.stderr.write(`${live ? '\r\x1b[2K' : ''}${ok ? '✓' : '✗'} ${title}  ${seconds()}\n`)
    },
  }
}
