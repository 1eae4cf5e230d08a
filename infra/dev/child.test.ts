import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { startChild } from './child.ts'
import { commandLine, identify } from './process-identity.ts'

const dir = mkdtempSync(join(tmpdir(), 'porthole-child-'))
after(() => rmSync(dir, { recursive: true }))

function child(source: string, readyWithinMs = 10_000) {
  const script = join(dir, `${Math.random().toString(36).slice(2)}.mjs`)
  writeFileSync(script, source)
  return { name: 'gateway', script, cwd: dir, env: {}, logFile: `${script}.log`, readyWithinMs }
}

describe('a child', () => {
  it('is there once it says so, and ends when asked', async () => {
    const running = await startChild(
      child("process.send({ type: 'ready', url: 'http://x', hostId: 'host_1' }); setInterval(() => {}, 1e3)"),
    )
    assert.deepEqual([running.url, running.hostId], ['http://x', 'host_1'])
    await running.stop()
    assert.deepEqual(await running.ended, { code: null, signal: 'SIGTERM' })
    assert.equal(identify(running.pid), undefined)
  })

  it('runs within another program, which becomes it', async () => {
    const source = "process.send({ type: 'ready', url: process.env.PLACE }); setInterval(() => {}, 1e3)"
    const running = await startChild({ ...child(source), within: ['/usr/bin/env', 'PLACE=http://inside'] })
    assert.equal(running.url, 'http://inside')
    assert(commandLine(running.pid).startsWith(process.execPath))
    await running.stop()
    assert.equal(identify(running.pid), undefined)
  })

  it('that ends instead fails with its exit code and last words', async () => {
    await assert.rejects(
      startChild(child("console.error('the database is gone'); process.exit(3)")),
      /the gateway ended while starting \(exit code 3\)[\s\S]*the database is gone/,
    )
  })

  it('that stays silent is ended at the deadline', async () => {
    let pid = 0
    const silent = { ...child('setInterval(() => {}, 1e3)', 300), onSpawn: (spawned: number) => (pid = spawned) }
    await assert.rejects(startChild(silent), /was not ready within 0.3 s/)
    assert.equal(identify(pid), undefined)
  })

  it('is ended when nobody waits for it any more', async () => {
    const gone = new AbortController()
    const starting = startChild({
      ...child('setInterval(() => {}, 1e3)'),
      onSpawn: () => gone.abort(),
      signal: gone.signal,
    })
    await assert.rejects(starting, { name: 'AbortError' })
  })
})
