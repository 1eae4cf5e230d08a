import assert from 'node:assert/strict'
import { it } from 'node:test'
import { identify } from '../../infra/dev/process-identity.ts'
import { startStack } from './stack.ts'

it('a test stack runs a real browser, survives restarts of its parts, and leaves nothing', async () => {
  const stack = await startStack()
  const { docker, names } = stack
  const own = async () => {
    const filters = { name: [names.containerPrefix] }
    const [containers, { Volumes }, networks] = await Promise.all([
      docker.listContainers({ all: true, filters }),
      docker.listVolumes({ filters: { name: [names.volumePrefix] } }),
      docker.listNetworks({ filters: { name: [names.network] } }),
    ])
    return { containers: containers.length, volumes: Volumes?.length ?? 0, networks: networks.length }
  }
  try {
    const created = await stack.call('POST', '/v1/runtimes', { userId: 'demo' })
    assert.equal(created.status, 201, await created.clone().text())
    assert.deepEqual(await own(), { containers: 1, volumes: 1, networks: 1 })

    const { pid } = stack.gateway()
    await stack.restartGateway()
    await stack.restartAgent()
    assert.notEqual(stack.gateway().pid, pid)
    assert.equal(stack.agent().hostId, stack.hostId)
    const again = await stack.call('POST', '/v1/runtimes', { userId: 'demo' })
    assert.equal(again.status, 200, await again.clone().text())
    assert.deepEqual(await own(), { containers: 1, volumes: 1, networks: 1 })
  } finally {
    await stack.close()
  }
  assert.deepEqual(await own(), { containers: 0, volumes: 0, networks: 0 })
  assert.equal(identify(stack.gateway().pid), undefined)
  assert.equal(identify(stack.agent().pid), undefined)
})
