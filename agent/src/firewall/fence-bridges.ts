import { existsSync } from 'node:fs'
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import type { Engine } from '../engine/engine.ts'
import { networkLabels } from '../labels.ts'
import { AgentError } from '../problems.ts'
import { fenceEngine } from './fenced-engine.ts'
import { createFirewall } from './firewall.ts'
import { FirewallUnavailable, iptables } from './iptables.ts'
import { readNameservers } from './nameservers.ts'

/**
 * The engine with its networks fenced in this machine's firewall, now and until aborted. The rules outlive the agent, as
 * the containers do.
 * @throws FirewallUnavailable when they are required and this agent has no means to set them
 */
export const fenceBridges = async (deps: {
  engine: Engine
  config: Pick<Config, 'firewall' | 'containers'>
  log: Logger
  signal: AbortSignal
}): Promise<Engine> => {
  const { config, log, signal } = deps
  const { network } = config.containers
  const firewall = createFirewall({
    mode: config.firewall,
    tables: iptables(),
    nameservers: readNameservers,
    hasInterface: name => existsSync(`/sys/class/net/${name}`),
    log,
  })
  const engine = fenceEngine(deps.engine, firewall, network)
  try {
    await engine.ensureNetwork(network, networkLabels)
  } catch (error) {
    if (error instanceof AgentError && error.cause instanceof FirewallUnavailable) throw error.cause
    // Any other fault is met again, and told, by what needs the network.
  }
  void firewall.run(engine.fences, signal)
  return engine
}
