import { createRemoteJWKSet } from 'jose'
import { createRelay } from '../../../agent/protocol/relay/index.ts'
import { createAddresses } from '../../../agent/src/addresses.ts'
import { createApp } from '../../../agent/src/app.ts'
import { createEdge } from '../../../agent/src/edge.ts'
import { fakeEngine } from '../../../agent/src/engine/fake.ts'
import { createGatewayTokens } from '../../../agent/src/gateway-tokens.ts'
import { createRuntimes } from '../../../agent/src/runtimes.ts'
import { createAgentServer, listen } from '../../../agent/src/server.ts'
import { defaults, image, recipe, silent, startCommand } from '../../../agent/src/testing/orders.ts'
import { createVolumes } from '../../../agent/src/volumes.ts'
import { servePart } from '../simulation/part.ts'

/** An agent's edge as it is, in front of a container that is a server on the loopback. */
servePart({
  start: async (said: {
    gatewayUrl: string
    hostId: string
    runtimeId: string
    generation: number
    ownerHash: string
    ports: Record<string, number>
  }) => {
    const { hostId, generation, ownerHash, ports } = said
    const engine = fakeEngine({ images: [image] })
    const relay = createRelay()
    const tokens = createGatewayTokens(createRemoteJWKSet(new URL(`${said.gatewayUrl}/.well-known/jwks.json`)), hostId)
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
    await runtimes.start(said.runtimeId, startCommand({ generation, ownerHash, recipe: recipe({ ports }) }))
    return listen(server, '127.0.0.1', said.ports.agent ?? 0)
  },
})
