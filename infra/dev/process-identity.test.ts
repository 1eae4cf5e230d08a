import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { endProcess, identify, isAlive, startFromStat } from './process-identity.ts'

describe('a process', () => {
  it('is itself', () => {
    const me = identify(process.pid)
    assert.ok(me)
    assert.ok(isAlive(me))
  })

  it('is not another one that got its number', () => {
    assert.equal(isAlive({ pid: process.pid, startedAt: 'long ago' }), false)
  })

  it('is gone when its number is nobody’s', () => {
    assert.equal(identify(2 ** 22 + 1), undefined)
  })

  it('is ended by the first signal that works', async () => {
    const deaf = "process.on('SIGTERM', () => {}); process.send('deaf'); setInterval(() => {}, 1000)"
    const child = spawn(process.execPath, ['-e', deaf], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
    await once(child, 'message')
    const identity = identify(child.pid ?? 0)
    assert.ok(identity)
    const ended = once(child, 'exit')
    await endProcess(identity, [
      ['SIGTERM', 50],
      ['SIGKILL', 5_000],
    ])
    assert.deepEqual(await ended, [null, 'SIGKILL'])
    await endProcess(identity, [['SIGKILL', 50]]) // once more is fine
  })
})

describe('/proc/<pid>/stat', () => {
  const rest = 'S 1 22004 22004 0 -1 4194560 4111 0 0 0 1 2 0 0 20 0 1 0 98765 1 2 3'
  it('gives the start time, whatever the name holds', () => {
    assert.equal(startFromStat(`22004 (postgres) ${rest}`), '98765')
    assert.equal(startFromStat(`22004 (a) Z 1) ${rest}`), '98765')
  })
  it('gives none for a zombie', () => {
    assert.equal(startFromStat(`22004 (postgres) ${rest.replace('S', 'Z')}`), undefined)
  })
})
