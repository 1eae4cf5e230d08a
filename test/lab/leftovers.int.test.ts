import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { forcedEnd } from '../../infra/dev/child.ts'
import { identify } from '../../infra/dev/process-identity.ts'
import { dockerAt } from '../../infra/docker/probe.ts'
import { clearHosts } from '../../infra/hosts/clear.ts'
import { startHosts } from '../../infra/hosts/start-hosts.ts'
import { testSetting } from '../kit/config.ts'
import { labTimeout, noLab } from './kit.ts'
import { labHosts, takeLab } from './lock.ts'

describe('hosts that nobody has closed', { skip: noLab(), concurrency: false }, () => {
  let release: () => Promise<void>
  before(
    async () => {
      release = await takeLab()
    },
    { timeout: labTimeout },
  )
  after(async () => {
    await clearHosts(labHosts)
    await release()
  })

  it('are cleared by the next one here, a container that its engine has left behind too', {
    timeout: 300_000,
  }, async () => {
    const image = testSetting('image')
    const docker = dockerAt(testSetting('dockerHost'), { tls: false, certPath: undefined })
    const start = () => startHosts({ count: 1, dir: labHosts, name: 'lab-left', image: { docker, tag: image } })
    const [host] = (await start()).hosts
    assert(host)
    const container = await host.docker.createContainer({
      Image: image,
      Entrypoint: ['/usr/local/bin/node', '-e', 'setInterval(() => {}, 1e6)'],
    })
    await container.start()
    const { Pid } = (await container.inspect()).State
    const mounts = () => readFileSync('/proc/self/mountinfo', 'utf8')
    await host.stopEngine(forcedEnd)
    assert(identify(Pid), 'the container outlives its engine')
    assert(mounts().includes(host.folder))

    assert.equal(await clearHosts(labHosts), true)
    assert.equal(identify(Pid), undefined)
    assert(!mounts().includes(host.folder))
    assert.equal(existsSync(`/run/netns/${host.netns}`), false)
    assert.equal(await clearHosts(labHosts), false)

    const again = await start()
    const [anew] = again.hosts
    const { State } = (await anew?.docker.getContainer(container.id).inspect()) ?? {}
    assert.equal(State?.Running, false)
    await anew?.docker.getContainer(container.id).remove({ force: true, v: true })
    await again.close()
  })
})
