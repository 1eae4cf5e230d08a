import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { readEngineConfig } from './config.ts'
import { findProgram } from './install.ts'

const { path } = readEngineConfig()
const program = findProgram('dockerd', path)
const canSeparate = spawnSync('unshare', ['--net', '--mount', 'true']).status === 0
const skip = program && canSeparate ? false : 'needs dockerd and, as root, namespaces of its own'

it('a Docker daemon of ours starts past old pid files, is known again, and starts anew after a kill', {
  skip,
}, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'porthole-dockerd-'))
  const script = join(import.meta.dirname, 'testing/daemon-cycle.ts')
  const words = ['--net', '--mount', process.execPath, script, dir, program ?? '', path]
  const child = spawn('unshare', words, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  try {
    const signal = AbortSignal.timeout(60_000)
    const told = await Promise.race([once(child, 'message', { signal }), once(child, 'exit', { signal })])
    assert.deepEqual(told[0], { mine: true, other: true, killed: true, restarted: true, stopped: true })
  } finally {
    child.kill()
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  }
})
