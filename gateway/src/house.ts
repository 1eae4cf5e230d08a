import type { Database, RuntimeRow, TenantRow } from '@porthole/db'
import type { Logger } from 'pino'
import type { Agents } from './agents/client.ts'
import type { AgentConnections } from './agents/connections.ts'
import type { Audit } from './audit.ts'
import type { Calls } from './calls.ts'
import type { HopTokens } from './edge/hop-tokens.ts'
import type { OpenSockets } from './edge/open-sockets.ts'
import type { PortHosts } from './edge/port-hosts.ts'
import type { RouteTable } from './edge/route-table.ts'
import type { ViewPasses } from './edge/tickets.ts'
import { Problem } from './problem.ts'
import type { Changes } from './runtimes/changes.ts'
import type { Conductor } from './runtimes/conductor.ts'
import type { Placement } from './runtimes/placement.ts'
import type { Specs } from './runtimes/specs.ts'
import type { Access } from './tokens/access.ts'
import { type Caller, demand, type Scope } from './tokens/caller.ts'
import type { Doorman } from './tokens/doorman.ts'
import type { Issuer } from './tokens/issuer.ts'
import type { Seal } from './tokens/seal.ts'

/** Everything the routes are given. */
export type House = {
  database: Database
  issuer: Issuer
  access: Access
  doorman: Doorman
  passes: ViewPasses
  hops: HopTokens
  sockets: OpenSockets
  routes: RouteTable
  audit: Audit
  calls: Calls
  seal: Seal
  agents: Agents
  changes: Changes
  conductor: Conductor
  placement: Placement
  specs: Specs
  connections: AgentConnections
  /** Whether a host may join with plain HTTP at an address that is not loopback. */
  allowPlainAgents: boolean
  log: Logger
  /** Milliseconds since the epoch. */
  now(): number
  /** Milliseconds edge traffic waits for a runtime that is starting, or is started by it. */
  wakeMs: number
  /** The public URL, without a trailing slash. */
  base: string
  /** Its host, with the port where that is not the scheme's own. */
  publicHost: string
  portHosts: PortHosts
  /** Origins whose pages may open sockets here; the public URL's is one. */
  origins: ReadonlySet<string>
}

/** A caller whose tenant exists. */
export type Guest = Caller & { row: TenantRow }

/**
 * Who is asking, if they may.
 *
 * @throws Problem `unauthorized`, `tenant-suspended`, `insufficient-scope`
 */
export const admit = async (house: House, authorization: string | undefined, scope?: Scope): Promise<Guest> => {
  const caller = await house.doorman.admit(authorization)
  const row = await house.access.tenant(caller.tenant)
  if (!row) throw new Problem('unauthorized', { detail: "the token's tenant does not exist" })
  if (scope) demand(caller, scope)
  return { ...caller, row }
}

/** Whether a runtime is the caller's to see; one that is not answers as one that does not exist. */
export const isTheirs = (caller: Caller, row: RuntimeRow | undefined): row is RuntimeRow =>
  row !== undefined && row.tenant === caller.tenant && isForOwner(caller, row)

/** Whether a token that is bound to one owner is bound to this one. */
export const isForOwner = ({ owner }: Caller, { mode, owner: name }: Pick<RuntimeRow, 'mode' | 'owner'>): boolean =>
  owner === undefined || (owner.mode === mode && owner.name === name)
