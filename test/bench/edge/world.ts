import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { claimOwner, connect, type RuntimeRow, startOn, toRunning } from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import { ownerHashOf } from '../../../gateway/src/identity/owner.ts'
import { freePort } from '../../../infra/dev/ports.ts'
import { aptInstall, findProgram } from '../../../infra/docker/install.ts'
import { readRunnerConfig } from '../../kit/config.ts'
import { type Part, startPart } from '../simulation/part.ts'
import { openWorld } from '../simulation/world.ts'
import { startNginxProxy, startNginxUpstream } from './nginx.ts'
import { pin } from './program.ts'
import type { Target } from './socket-load-part.ts'

/** One way from a client to the upstreams. */
export type Way = {
  name: string
  hops: 0 | 1 | 2
  http: Target
  echo: Target
  flood: Target
  /** The proxy whose memory is looked at: the one that the client talks to, or the agent behind a gateway. */
  pid: number
  /** Every proxy on the way, by what goes through it. */
  proxies: { http: number[]; sockets: number[] }
}

export type EdgeWorld = {
  ways: Way[]
  /** A gateway of its own on the core of the load, for the same runtimes. */
  second: Way
  clients: Part
  wrk: string
  close(): Promise<void>
}

/** Everything that is measured has this core; load, upstreams and Postgres share the other. */
export const measuredCore = 0
export const otherCore = 1

const here = (file: string) => join(import.meta.dirname, file)
const forever = 3600

/** Bytes of memory that a process holds, its children included. */
export const memoryOf = (pid: number): number => {
  const rss = (of: number) =>
    Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${of}/status`, 'latin1'))?.[1] ?? 0) * 1024
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').filter(Boolean)
  return rss(pid) + children.reduce((sum, child) => sum + rss(Number(child)), 0)
}

const findPrograms = async () => {
  const { path } = readRunnerConfig()
  if (!findProgram('nginx', path) || !findProgram('wrk', path)) await aptInstall(['nginx-light', 'wrk'], { path })
  const [nginx, wrk] = [findProgram('nginx', path), findProgram('wrk', path)]
  if (!nginx || !wrk) throw new Error('nginx and wrk are needed, and could not be installed: install both')
  return { nginx, wrk }
}

/** Upstreams, the peers in front of them, and a real gateway with and without a real agent's edge behind it. */
export const openEdgeWorld = async (): Promise<EdgeWorld> => {
  const { nginx: program, wrk } = await findPrograms()
  const dir = mkdtempSync(join(tmpdir(), 'porthole-edge-'))
  const endings: (() => Promise<unknown>)[] = [async () => rmSync(dir, { recursive: true, force: true })]
  const close = async () => {
    for (const end of endings.toReversed()) await end()
  }
  const keep = async <T extends { pid: number; stop(): Promise<void> }>(thing: T | Promise<T>, core: number) => {
    const kept = await thing
    endings.push(() => kept.stop())
    await pin(kept.pid, core)
    return kept
  }
  try {
    const upstreamPart = await keep(startPart(here('upstream-part.ts')), otherCore)
    const socketPort = await upstreamPart.ask<number>('listen')
    const page = await keep(
      startNginxUpstream({ dir, name: 'upstream', port: await freePort(), program, bytes: 1024 }),
      otherCore,
    )
    const clients = await keep(startPart(here('socket-load-part.ts')), otherCore)

    type Proxy = { port: number; pid: number }
    /** Through proxies that pass everything on; the outermost is the first of each. */
    const plain = (name: string, http: readonly Proxy[], sockets: readonly Proxy[]): Way => {
      const pids = (all: readonly Proxy[]) => all.map(({ pid }) => pid)
      const [web = page, socket = { port: socketPort, pid: upstreamPart.pid }] = [http[0], sockets[0]]
      return {
        ...{ name, hops: http.length as Way['hops'], pid: socket.pid },
        http: { port: web.port, path: '/run', headers: {} },
        echo: { port: socket.port, path: '/websockify', headers: {} },
        flood: { port: socket.port, path: '/', headers: {} },
        proxies: { http: pids(http), sockets: pids(sockets) },
      }
    }
    const nginx = async (name: string, upstream: number, buffers: 'default' | '64k' = 'default') =>
      keep(startNginxProxy({ dir, name, port: await freePort(), program, upstream, buffers }), measuredCore)
    const proxy = async (kind: 'relay' | 'unasked' | 'http-proxy', upstream: number, hop?: string) => {
      const part = await keep(startPart(here('proxy-part.ts')), measuredCore)
      return { pid: part.pid, port: await part.ask<number>(kind, { upstream, hop, log: join(dir, `${part.pid}.log`) }) }
    }

    const nginxWeb = await nginx('nginx-web', page.port)
    const nginxSockets = await nginx('nginx-sockets', socketPort)
    const nginxLarge = await nginx('nginx-64k', socketPort, '64k')
    const nginxWebLarge = await nginx('nginx-web-64k', page.port, '64k')
    const nginxWebOuter = await nginx('nginx-web-outer', nginxWeb.port)
    const nginxSocketsOuter = await nginx('nginx-sockets-outer', nginxSockets.port)
    const old = { web: await proxy('http-proxy', page.port), sockets: await proxy('http-proxy', socketPort) }
    const relay = { web: await proxy('relay', page.port), sockets: await proxy('relay', socketPort) }

    const porthole = await openPorthole({ page: page.port, sockets: socketPort })
    endings.push(porthole.close)
    await pin(porthole.gateway.pid, measuredCore)
    await pin(porthole.second.pid, otherCore)
    await pin(porthole.agent.pid, measuredCore)
    // As long as a hop token is.
    const hop = porthole.headers.Authorization.slice(7)
    const unasked = {
      web: await proxy('unasked', page.port, hop),
      sockets: await proxy('unasked', socketPort, hop),
    }
    const { headers, hashes } = porthole
    const through = (name: string, hops: 1 | 2, { port, pid } = porthole.gateway): Way => {
      const hash = (kind: 'web' | 'sockets') => (hops === 2 ? hashes.both : hashes[kind])
      const pids = hops === 2 ? [pid, porthole.agent.pid] : [pid]
      return {
        ...{ name, hops, pid: pids.at(-1) ?? pid },
        http: { port, headers, path: `/rpc/${hash('web')}/run` },
        echo: { port, headers, path: `/view/${hash('sockets')}/websockify` },
        flood: { port, headers, path: `/cdp/${hash('sockets')}` },
        proxies: { http: pids, sockets: pids },
      }
    }
    const gateway = through('gateway', 1)
    return {
      ways: [
        plain('direct', [], []),
        plain('nginx', [nginxWeb], [nginxSockets]),
        plain('nginx, 64 KiB buffers', [nginxWebLarge], [nginxLarge]),
        plain('http-proxy', [old.web], [old.sockets]),
        plain('relay alone', [relay.web], [relay.sockets]),
        {
          ...{ name: 'gateway that asks nobody', hops: 1, pid: unasked.sockets.pid },
          http: { ...gateway.http, port: unasked.web.port },
          echo: { ...gateway.echo, port: unasked.sockets.port },
          flood: { ...gateway.flood, port: unasked.sockets.port },
          proxies: { http: [unasked.web.pid], sockets: [unasked.sockets.pid] },
        },
        gateway,
        plain('nginx → nginx', [nginxWebOuter, nginxWeb], [nginxSocketsOuter, nginxSockets]),
        through('gateway → agent', 2),
      ],
      second: through('second gateway', 1, porthole.second),
      clients,
      wrk,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** A gateway whose hosts are: the two upstreams by themselves (one hop), and an agent in front of both (two). */
const openPorthole = async ({ page, sockets }: { page: number; sockets: number }) => {
  const world = await openWorld()
  const database = connect(world.databaseUrl, { max: 2 })
  const agent = startPart(here('agent-part.ts'))
  const close = async () => {
    await agent.stop()
    await database.close()
    await world.close()
  }
  try {
    const [gateway, second] = await world.startGateways(2, { LOG_LEVEL: 'info' })
    if (!gateway || !second) throw new Error('no gateways were started')
    const { tenantToken } = await world.mintTokens(gateway)
    const lastSeenAt = new Date(Date.now() + forever * 1000)
    const run = async (owner: string, host: string, port: number): Promise<RuntimeRow> => {
      await addHost(database.db, host, 10, { url: `http://127.0.0.1:${port}`, lastSeenAt })
      const ownerHash = ownerHashOf('t0', 'shared', owner)
      const claimed = await claimOwner(
        database.db,
        wanted(owner, { ownerHash, tenant: 't0', mode: 'shared' }),
        forever * 1000,
      )
      const started = claimed && (await startOn(database.db, claimed.row, host, forever * 1000))
      const row = typeof started === 'object' ? await toRunning(database.db, started) : undefined
      if (!row) throw new Error(`${owner}'s runtime could not be made to run`)
      return row
    }
    const agentPort = await freePort()
    const web = await run('web', 'host_web', page)
    const ws = await run('ws', 'host_ws', sockets)
    const both = await run('both', 'host_both', agentPort)
    await agent.ask('start', {
      gatewayUrl: gateway.url,
      hostId: 'host_both',
      runtimeId: both.id,
      generation: both.generation,
      ownerHash: both.ownerHash,
      ports: { rpc: page, view: sockets, cdp: sockets, agent: agentPort },
    })
    return {
      gateway,
      second,
      agent,
      headers: { Authorization: `Bearer ${tenantToken}` },
      hashes: { web: web.ownerHash, sockets: ws.ownerHash, both: both.ownerHash },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}
