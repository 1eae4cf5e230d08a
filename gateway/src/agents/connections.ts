import { connector, createPeers, createPin } from '@porthole/protocol/relay'
import { Agent, type Dispatcher } from 'undici'

/** Where an agent is, and the certificate (PEM) that it was admitted with; null: plain, or checked as any website's. */
export type AgentPeer = { url: string; certificate: string | null }

/**
 * Kept-alive connections for commands and short questions. Those to an agent with a certificate go to its holder alone: anyone else is sent
 * nothing, and the request fails with RelayFault `upstream-unverified`.
 */
export type AgentConnections = {
  /** For starts: they hold a connection until the runtime is ready, and hold up nothing else. */
  starts(peer: AgentPeer): Dispatcher
  others(peer: AgentPeer): Dispatcher
  /** For what containers answer, in their own time: as many as the edge lets in, and none that a command waits for. */
  containers(peer: AgentPeer): Dispatcher
  /** Ends all of them at once. */
  close(): Promise<void>
}

const connectMs = 5000
const startsAtOnce = 256
const othersAtOnce = 64

export const createAgentConnections = (): AgentConnections => {
  const open = pairOf({ connectTimeout: connectMs })
  const pinned = createPeers(certificate => pairOf({ connect: pinnedConnect(certificate) }))
  const to = ({ url, certificate }: AgentPeer): Pair =>
    certificate === null ? open : pinned.of(new URL(url).origin, certificate)
  return {
    starts: peer => to(peer).starts,
    others: peer => to(peer).others,
    containers: peer => to(peer).containers,
    close: async () => {
      await Promise.all([open.destroy(), pinned.destroy()])
    },
  }
}

type Pair = ReturnType<typeof pairOf>

const pairOf = (options: Pick<Agent.Options, 'connect' | 'connectTimeout'>) => {
  const starts = new Agent({ ...options, connections: startsAtOnce, pipelining: 1 })
  const others = new Agent({ ...options, connections: othersAtOnce, pipelining: 1 })
  const containers = new Agent({ ...options, pipelining: 1 })
  const all = [starts, others, containers]
  return {
    ...{ starts, others, containers },
    close: () => Promise.all(all.map(agent => agent.close())),
    destroy: () => Promise.all(all.map(agent => agent.destroy())),
  }
}

/** As the relay connects, so that there is one place that decides who a peer is. */
const pinnedConnect = (certificate: string): NonNullable<Agent.Options['connect']> => {
  const connect = connector({ timeoutMs: connectMs, pin: createPin(certificate) })
  return ({ protocol, host }, done) => {
    connect(new URL(`${protocol}//${host}`), undefined, (error, socket) => {
      if (socket === null) done(error ?? new Error('no socket'), null)
      else done(null, socket)
    })
  }
}
