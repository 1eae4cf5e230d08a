import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, describe, it } from 'node:test'
import { identify } from '../../infra/dev/process-identity.ts'
import { findNamespaces } from '../../infra/hosts/namespace.ts'
import { namingOf } from '../../infra/hosts/naming.ts'
import { inheritedEnv } from '../kit/config.ts'
import { clearLab } from './clear.ts'
import { labTimeout, noLab } from './kit.ts'
import { hostsOf, takeLab } from './lock.ts'

/** As a test file with a lab: it says which engine it has, and closes nothing. */
const withLab = `
  import { startHosts } from './infra/hosts/start-hosts.ts'
  import { hostsOf, takeLab } from './test/lab/lock.ts'
  const [dir] = process.argv.slice(1)
  await takeLab(1000, dir)
  const { hosts } = await startHosts({ count: 1, dir: hostsOf(dir), name: 'lab-cut' })
  console.log(hosts[0].enginePid())
  setInterval(() => {}, 1e6)`

describe('a lab whose test file was killed', { skip: noLab(), concurrency: false, timeout: labTimeout }, () => {
  // Not the lab of this repo, which another test file may be waiting for.
  const dir = mkdtempSync(join(tmpdir(), 'porthole-lab-'))
  after(async () => {
    await clearLab(undefined, dir)
    rmSync(dir, { recursive: true, force: true })
  })

  it('is cleared when the run ends; one that is alive is not', async () => {
    const file = spawn(process.execPath, ['--input-type=module', '-e', withLab, dir], {
      cwd: join(import.meta.dirname, '../..'),
      env: inheritedEnv(),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [said] = await once(createInterface({ input: file.stdout }), 'line')
    const engine = Number(said)
    const spaces = () => findNamespaces(namingOf(hostsOf(dir)))
    assert.equal(await clearLab(undefined, dir), false)
    assert(identify(engine))

    file.kill('SIGKILL')
    await once(file, 'exit')
    assert(identify(engine), 'the engine outlives its test file')
    assert.equal((await spaces()).length, 1)
    assert.equal(await clearLab(undefined, dir), true)
    assert.equal(identify(engine), undefined)
    assert.deepEqual(await spaces(), [])
    assert.equal(await clearLab(undefined, dir), false)
    // It is free for the next one.
    await (await takeLab(1000, dir))()
  })
})
