import assert from 'node:assert/strict'
import { after, before, describe } from 'node:test'
import { edgeCases } from '../../agent/protocol/relay/edge-cases.ts'
import { type EdgeWorld, startEdgeWorld } from './world.ts'

describe('where proxies go wrong, two hops: gateway, agent, container', { concurrency: 4 }, () => {
  let world: EdgeWorld
  before(async () => {
    world = await startEdgeWorld()
  })
  after(async () => {
    assert(world.isAlive(), 'the gateway has ended')
    await world.close()
  })

  edgeCases((_, origin) => world.open(origin))
})
