import { linkSync, readFileSync, renameSync, rmSync, statSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs'

const beat = 2_000
const silence = 60_000
const patience = 15 * 60_000

/**
 * Runs `work` while no other process holds the lock file; waits for one that does, up to 15 minutes. A lock whose
 * processes are gone, or that nobody touched for a minute, is taken over.
 * @param {string} path the lock file, in a folder that exists
 * @param {(recordChild: (pid: number) => void) => Promise<void>} work may name a child that outlives a kill -9 of this one
 */
export async function withInstallLock(path, work) {
  const mine = `${path}.${process.pid}`
  const deadline = Date.now() + patience
  let told = false
  writeFileSync(mine, `${process.pid}`)
  try {
    // A link is made whole or not at all, so nobody reads a lock without its pid.
    while (!tryLink(mine, path)) {
      if (takeIfStale(path)) continue
      if (Date.now() > deadline)
        throw new Error(`${path} is held by process ${readFileSync(path, 'utf8')}; end that one`)
      if (!told) console.error('… Another install is running here; waiting for it')
      told = true
      await new Promise(resolve => setTimeout(resolve, 250))
    }
  } finally {
    rmSync(mine, { force: true })
  }
  const timer = setInterval(() => utimesSync(path, new Date(), new Date()), beat)
  const release = () => rmSync(path, { force: true })
  process.once('exit', release)
  try {
    await work(pid => writeFileSync(path, `${process.pid} ${pid}`))
  } finally {
    clearInterval(timer)
    process.off('exit', release)
    release()
  }
}

function tryLink(from, to) {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw error
  }
}

function takeIfStale(path) {
  try {
    const seen = readFileSync(path, 'utf8')
    const silent = Date.now() - statSync(path).mtimeMs > silence
    if (!silent && seen.split(' ').some(pid => isAlive(Number(pid)))) return false
    const aside = `${path}.${process.pid}.stale`
    renameSync(path, aside)
    // Another process may have been quicker and hold the lock by now: give it back.
    if (readFileSync(aside, 'utf8') !== seen) tryLink(aside, path)
    unlinkSync(aside)
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
  }
  return true
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}
