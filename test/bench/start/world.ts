import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, warmTenant } from '@porthole/db'
import type Docker from 'dockerode'
import { startAgent } from '../../../infra/dev/stack.ts'
import { findOrStartEngine } from '../../../infra/docker/engine.ts'
import { ensureImage } from '../../../infra/image/build.ts'
import { inheritedEnv } from '../../kit/config.ts'
import { eventually } from '../../kit/eventually.ts'
import { openWorld } from '../simulation/world.ts'
import { type Client, createClient } from './client.ts'
import { createPlain, ensurePlainImage, type Plain } from './plain.ts'

/** A real Porthole on one host, and what it is compared with, on the same engine. */
export type StartWorld = {
  docker: Docker
  client: Client
  plain: Plain
  /** The container of an owner's browser. */
  containerOf(ownerHash: string): Docker.Container
  /** Where DevTools of an owner's browser are, and what lets a client in. */
  devTools(ownerHash: string): { url: string; headers: Readonly<Record<string, string>> }
  /** Resolves once so many warm browsers are there to be given away. */
  untilWarm(count: number): Promise<void>
  close(): Promise<void>
}

/** @property warm browsers that are kept started */
type Sought = { tell(what: string): void; signal: AbortSignal; warm?: number }

/** Milliseconds that a warm browser may take until it is there. */
const warmMs = 60_000

const root = join(import.meta.dirname, '../../..')

/** Postgres, a gateway, an agent on this machine's engine, and the two images. Everything but the images goes when closed. */
export const openStartWorld = async ({ tell, signal, warm = 0 }: Sought): Promise<StartWorld> => {
  const mark = `porthole-bench-${randomBytes(3).toString('hex')}`
  const names = { containerPrefix: `${mark}-browser-`, volumePrefix: `${mark}-profile-`, network: `${mark}-net` }
  const dir = mkdtempSync(join(tmpdir(), `${mark}-`))
  const endings: (() => Promise<unknown>)[] = [async () => rmSync(dir, { recursive: true, force: true })]
  const close = async () => {
    for (let end = endings.pop(); end; end = endings.pop()) await end()
  }
  try {
    const stateDir = join(root, '.porthole/test')
    mkdirSync(stateDir, { recursive: true })
    const { docker, dockerHost, startedByUs } = await findOrStartEngine({ stateDir, signal })
    if (startedByUs) endings.push(() => startedByUs.stop())
    tell('the browser image')
    const { tag } = await ensureImage({ docker, signal })
    const plainImage = await ensurePlainImage(docker, { tell, signal })
    tell('Postgres, gateway, agent')
    endings.push(() => removeTraces(docker, mark))
    const world = await openWorld(signal)
    endings.push(() => world.close())
    const [gateway] = await world.startGateways(1, { PORTHOLE_WARM: String(warm) })
    if (!gateway) throw new Error('no gateway was started')
    const { tenantToken, joinToken } = await world.mintTokens(gateway)
    const agent = await startAgent({
      ...{ root, logDir: dir, env: inheritedEnv(), gatewayUrl: gateway.url, joinToken, dataDir: join(dir, 'agent') },
      ...{ hostName: mark, dockerHost, image: tag, ...names, signal },
    })
    endings.push(() => agent.stop())
    const database = connect(world.databaseUrl, { max: 1 })
    endings.push(() => database.close())
    const network = `${mark}-plain`
    await docker.createNetwork({ Name: network, Driver: 'bridge' })
    return {
      docker,
      client: createClient({ url: gateway.url, token: tenantToken }),
      plain: createPlain(docker, { image: plainImage, network, prefix: `${mark}-plain-` }),
      devTools: ownerHash => ({
        url: `${gateway.url.replace(/^http/, 'ws')}/cdp/${ownerHash}`,
        headers: { authorization: `Bearer ${tenantToken}` },
      }),
      untilWarm: async count => {
        const isThere = async () => {
          const found = await database.db.$client`
            select from runtimes where tenant = ${warmTenant} and state = 'running'`
          if (found.length < count) throw new Error(`${found.length} browsers are warm, not ${count}`)
        }
        await eventually(isThere, warmMs)
      },
      containerOf: ownerHash => docker.getContainer(`${names.containerPrefix}${ownerHash}`),
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** What a bench that was cut off has left: the gateway that would remove it is gone by now. */
const removeTraces = async (docker: Docker, mark: string): Promise<void> => {
  const containers = await docker.listContainers({ all: true, filters: { name: [`^/${mark}`] } })
  await Promise.all(containers.map(({ Id }) => docker.getContainer(Id).remove({ force: true, v: true })))
  const { Volumes } = await docker.listVolumes({ filters: { name: [mark] } })
  await Promise.all((Volumes ?? []).map(({ Name }) => docker.getVolume(Name).remove()))
  const networks = await docker.listNetworks({ filters: { name: [mark] } })
  await Promise.all(networks.map(({ Id }) => docker.getNetwork(Id).remove()))
}
