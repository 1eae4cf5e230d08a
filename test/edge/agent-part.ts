import { createRemoteJWKSet } from 'jose'
import { createRelay } from '../../agent/protocol/relay/index.ts'
import { createAddresses } from '../../agent/src/addresses.ts'
import { createApp } from '../../agent/src/app.ts'
import { createEdge } from '../../agent/src/edge.ts'
import { fakeEngine } from '../../agent/src/engine/fake.ts'
import { createGatewayTokens } from '../../agent/src/gateway-tokens.ts'
import { createRuntimes } from '../../agent/src/runtimes.ts'
import { createAgentServer, listen } from '../../agent/src/server.ts'
import { defaults, image, recipe, silent, startCommand } from '../../agent/src/testing/orders.ts'
import { createVolumes } from '../../agent/src/volumes.ts'
import { servePart } from '../bench/simulation/part.ts'

export type Listen = { gatewayUrl: string; hostId: string; port: number }
/** `port`: where the container is, on the loopback. */
export type Run = { runtimeId: string; generation: number; ownerHash: string; port: number }

const openAgent = async ({ gatewayUrl, hostId, port }: Listen) => {
  const engine = fakeEngine({ images: [image] })
  const relay = createRelay()
  const tokens = createGatewayTokens(createRemoteJWKSet(new URL(`${gatewayUrl}/.well-known/jwks.json`)), hostId)
  const addresses = createAddresses({ engine, hostId, reach: 'bridge', log: silent })
  void addresses.follow(new AbortController().signal, () => undefined)
  const runtimes = createRuntimes({
    ...{ engine, probe: async () => ({ ok: true }), hostId, defaults },
    ...{ reach: 'bridge', startsAtOnce: 1, log: silent },
  })
  const volumes = createVolumes({ engine, hostId, defaults })
  const edge = createEdge({ tokens, addresses, relay, log: silent })
  const app = createApp({ desk: () => ({ tokens, runtimes, volumes }), prove: async () => undefined, log: silent })
  const server = createAgentServer({ app, edge: () => edge, relay })
  return { engine, runtimes, port: await listen(server, '127.0.0.1', port) }
}

let agent: Awaited<ReturnType<typeof openAgent>> | undefined

/** An agent's edge as it is, on an engine whose containers are servers on the loopback. */
servePart({
  listen: async (said: Listen) => {
    agent = await openAgent(said)
    return agent.port
  },
  run: async ({ runtimeId, generation, ownerHash, port }: Run) => {
    const ports = { rpc: port, view: port, cdp: port }
    await agent?.runtimes.start(runtimeId, startCommand({ generation, ownerHash, recipe: recipe({ ports }) }))
  },
  exit: (ownerHash: string) => agent?.engine.exit(`${defaults.containerPrefix}${ownerHash}`, 1),
})
