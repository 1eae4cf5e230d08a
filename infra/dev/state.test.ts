import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { openState } from './state.ts'

const dir = mkdtempSync(join(tmpdir(), 'porthole-state-'))
after(() => rmSync(dir, { recursive: true }))

const info = {
  gatewayUrl: 'http://127.0.0.1:4747',
  gatewayUrls: ['http://127.0.0.1:4747'],
  adminToken: 'a',
  tenantToken: 't',
  databaseUrl: 'postgres://x',
  hosts: [{ id: 'host_1', name: 'box', url: 'http://127.0.0.1:1', pid: 2, dockerHost: 'unix:///var/run/docker.sock' }],
  gatewayPids: [3],
  viewUrl: 'http://127.0.0.1:4747/view',
  consoleUrl: 'http://127.0.0.1:4747/console',
}

describe('the state of a stack', () => {
  const state = openState(dir)
  const lock = join(dir, 'up.lock')

  it('is held by one process', () => {
    assert.equal(state.holder(), undefined)
    assert.equal(state.take(), true)
    assert.equal(state.holder()?.pid, process.pid)
    assert.equal(state.take(), false)
    state.release()
    assert.equal(state.holder(), undefined)
  })

  it('is taken over from a holder that is gone, and from a number given out again', () => {
    const { pid } = spawnSync(process.execPath, ['-e', ''])
    for (const dead of [
      JSON.stringify({ pid, startedAt: '1' }),
      JSON.stringify({ pid: process.pid, startedAt: '1' }),
      '{"pi',
    ]) {
      writeFileSync(lock, dead)
      assert.equal(state.holder(), undefined)
      assert.equal(state.take(), true)
      state.release()
    }
    assert.deepEqual(readdirSync(dir), [])
  })

  it('is read only by its owner', () => {
    state.writeDev(info)
    assert.equal(statSync(join(dir, 'dev.json')).mode & 0o777, 0o600)
    assert.deepEqual(state.readDev(), info)
    state.removeDev()
    assert.equal(state.readDev(), undefined)
  })

  it('remembers one process per role, and each host once', () => {
    state.recordProcess('gateway', process.pid)
    state.recordProcess('gateway', process.ppid)
    state.recordHost('host_1')
    state.recordHost('host_1')
    const { processes, hostIds } = state.readRun()
    assert.deepEqual([processes.map(({ pid }) => pid), hostIds], [[process.ppid], ['host_1']])
  })

  it('remembers the hosts it has made after its run is over', () => {
    assert.deepEqual(state.readMadeHosts(), [])
    state.writeMadeHosts(['host_1'])
    state.forgetRun()
    assert.deepEqual(openState(dir).readMadeHosts(), ['host_1'])
  })
})
