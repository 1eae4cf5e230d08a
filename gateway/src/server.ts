import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { connect, findHost, listRuntimeStates, migrate, readClock } from '@porthole/db'
import { createRelay, relayServerOptions } from '@porthole/protocol/relay'
import type { Logger } from 'pino'
import { createAgents } from './agents/client.ts'
import { createAgentConnections } from './agents/connections.ts'
import { createApp } from './app.ts'
import { createAudit } from './audit.ts'
import { createCalls } from './calls.ts'
import { type Config, ConfigError } from './config.ts'
import { limitConnections } from './edge/connection-limits.ts'
import { holdRequests } from './edge/early.ts'
import { createExpress } from './edge/express.ts'
import { createHopTokens } from './edge/hop-tokens.ts'
import { createOpenSockets } from './edge/open-sockets.ts'
import { boundPipelines } from './edge/pipelines.ts'
import { isRelayed } from './edge/port-access.ts'
import { createPortHosts, tellsWhoAsks } from './edge/port-hosts.ts'
import { createRouteTable } from './edge/route-table.ts'
import { createViewPasses } from './edge/tickets.ts'
import { createUpgradeHandler } from './edge/upgrades.ts'
import { watchDrains } from './hosts/drain.ts'
import { watchLoss } from './hosts/loss.ts'
import type { House } from './house.ts'
import { createRequestIds } from './request-ids.ts'
import { listenForChanges } from './runtimes/changes.ts'
import { startCommandOf } from './runtimes/command.ts'
import { createConductor } from './runtimes/conductor.ts'
import { createDriver, leaseMs } from './runtimes/driver.ts'
import { watchIdle } from './runtimes/idle.ts'
import { withLastUse } from './runtimes/idle-ask.ts'
import { createPlacement } from './runtimes/placement.ts'
import { openRoom } from './runtimes/room.ts'
import { createSpecs } from './runtimes/specs.ts'
import { startUpkeep } from './runtimes/upkeep.ts'
import { keepWarm } from './runtimes/warm.ts'
import { watchAccess } from './tokens/access.ts'
import { followClock } from './tokens/clock.ts'
import { createDoorman } from './tokens/doorman.ts'
import { createExternalIssuers } from './tokens/external.ts'
import { createIssuer } from './tokens/issuer.ts'
import { createSeal } from './tokens/seal.ts'

export type Gateway = { url: string; close(): Promise<void> }

/** Milliseconds that a closing gateway gives to what is under way. */
const closeMs = 4000

const listen = (server: http.Server, host: string, port: number) =>
  new Promise<AddressInfo>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'EADDRINUSE'
          ? new ConfigError(`port ${port} on ${host} is in use by another program: set PORT to a free one`)
          : error,
      ),
    )
    server.listen(port, host, () => resolve(server.address() as AddressInfo))
  })

/**
 * A running gateway: migrated, listening, and moving unfinished runtimes on.
 *
 * @throws ConfigError for a port in use; SealError for another PORTHOLE_SECRET; whatever Postgres says.
 */
export const serve = async (config: Config, log: Logger): Promise<Gateway> => {
  await migrate(config.databaseUrl)
  const database = connect(config.databaseUrl, { max: 20 })
  const { db } = database
  // Of its own, so that a crowd before the other connections neither is taken for a database that is away, nor keeps
  // anybody from being let in or shut out, nor makes its time vague.
  const lookout = connect(config.databaseUrl, { max: 2 })
  const clock = await followClock(() => readClock(lookout.db), log)
  const { now } = clock
  const seal = createSeal(config.secret)
  /** Where the start fails, nothing of it goes on. */
  const giveUp = async (error: unknown): Promise<never> => {
    await Promise.all([clock.close(), database.close(1), lookout.close(1)])
    throw error
  }
  const issuer = await createIssuer(db, seal, now).catch(giveUp)

  const server = http.createServer({
    ...relayServerOptions,
    headersTimeout: config.limits.headMs,
    // How often late heads are looked for; Node's own half a minute would add to every deadline.
    connectionsCheckingInterval: 1000,
  })
  // All that fit the 16 KiB: Node drops what is beyond a number without a word.
  server.maxHeadersCount = 0
  limitConnections(server, config.limits, log)
  // What comes while the rest is being made is answered when it is.
  const open = holdRequests(server)
  const { address, port, family } = await listen(server, config.listenHost, config.port).catch(giveUp)
  const url = `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
  const base = config.publicUrl ?? url

  if (config.portDomain !== undefined && !tellsWhoAsks(base, config.portDomain))
    log.warn(
      { base, portDomain: config.portDomain },
      'ports on http: other pages can GET from them with a visitor’s cookie. Set PUBLIC_URL to an https address',
    )

  const connections = createAgentConnections()
  const agents = createAgents(issuer, connections)
  const changes = await listenForChanges(database)
  const access = await watchAccess({ db: lookout.db, listen: database.listen }, log, now)
  const externals = createExternalIssuers(db, now)
  const doorman = createDoorman({ issuer, externals, access, now })
  const passes = createViewPasses(issuer, now)
  const hops = createHopTokens(issuer, now)
  const audit = createAudit(db, log)
  const sockets = createOpenSockets({
    statesOf: ids => listRuntimeStates(lookout.db, ids),
    isWelcome: doorman.isWelcome,
    limits: config.limits,
    ...{ log, now },
  })
  access.onChange(({ keys }) => {
    if (keys) for (const memory of [externals, doorman, passes, hops]) memory.forget()
    sockets.checkRights()
  })
  changes.onMove(sockets.checkRuntime)
  const routes = createRouteTable({ db, lookout: lookout.db, changes, log })
  const room = await openRoom({
    database,
    leaseMs,
    carryOut: row => driver.take(row),
    withLastUse: (row, ms) => withLastUse({ db, agents }, row, ms),
  })
  const specs = createSpecs(config.specs, config.stopSeconds, config.warm)
  const placement = createPlacement({
    db,
    policy: config.placement,
    imageOf: spec => specs.find(spec).recipe.image,
    makeRoom: (demand, on) => warm.makeRoom(demand, on),
  })
  const driver = createDriver({
    db,
    agents,
    placement,
    room,
    log,
    commandFor: row => startCommandOf(row, { base, specs, seal, deadlineMs: config.startTimeoutMs }),
  })
  const conductor = createConductor({ db, agents, changes, driver, placement, room, hostOf: id => findHost(db, id) })
  const relay = createRelay()
  const house: House = {
    database,
    issuer,
    access,
    doorman,
    passes,
    hops,
    sockets,
    routes,
    audit,
    calls: createCalls(),
    seal,
    agents,
    changes,
    conductor,
    placement,
    specs,
    connections,
    allowPlainAgents: config.allowPlainAgents,
    log,
    now,
    wakeMs: config.startTimeoutMs,
    base,
    publicHost: new URL(base).host,
    portHosts: createPortHosts(base, config.portDomain),
    origins: new Set([new URL(base).origin, ...config.allowedOrigins]),
  }
  const losses = watchLoss(db, log)
  const drains = watchDrains({ db, agents, placement, driver, log, leaseMs })
  const idle = watchIdle({ db, agents, driver, log, leaseMs })
  const warm = keepWarm({ db, driver, changes, specs, log, leaseMs })
  const upkeep = startUpkeep(db, issuer, log)

  const nextRequestId = createRequestIds(now)
  const app = createApp(house, relay, config.limits, nextRequestId)
  const pipelines = boundPipelines()
  const route = getRequestListener(app.fetch, { autoCleanupIncoming: false })
  const passOnKnown = createExpress(house, relay, nextRequestId)
  server.on(
    'request',
    pipelines.requests((req, res) => passOnKnown(req, res) || route(req, res)),
  )
  server.on('upgrade', pipelines.upgrades(createUpgradeHandler(house, relay, config.limits)))
  relay.deferContinue(server, req => isRelayed(house.portHosts, req))
  open()
  log.info({ url, base }, 'gateway ready')

  return {
    url,
    close: async () => {
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      server.closeIdleConnections()
      upkeep.stop()
      await Promise.all([losses.stop(), drains.stop(), idle.stop(), warm.stop()])
      await driver.close(closeMs)
      await relay.close()
      server.closeAllConnections()
      await closed
      sockets.close()
      await routes.close()
      await audit.close(2000)
      await Promise.allSettled([changes.close(), access.close(), room.close(), clock.close()])
      await connections.close()
      await Promise.all([database.close(2), lookout.close(2)])
    },
  }
}
