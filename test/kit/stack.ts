import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type Docker from 'dockerode'
import type { Child } from '../../infra/dev/child.ts'
import { freePort } from '../../infra/dev/ports.ts'
import { type Agent, type BootstrapTokens, bootstrapTenant, startAgent, startGateway } from '../../infra/dev/stack.ts'
import { dockerAt } from '../../infra/docker/probe.ts'
import { inheritedEnv, testSetting } from './config.ts'
import { followContainers } from './container-logs.ts'
import { rememberAnswer, rememberEnv } from './credentials.ts'
import { freshDatabase } from './database.ts'
import { evidence } from './evidence.ts'

export type StackOptions = {
  /** Of the first tenant. */
  mode?: string
  /** Further settings by their names in the environment. */
  gatewaySettings?: Readonly<Record<string, string>>
  agentSettings?: Readonly<Record<string, string>>
}

export type TestStack = BootstrapTokens & {
  gatewayUrl: string
  databaseUrl: string
  hostId: string
  docker: Docker
  /** Names of its containers and volumes begin with these; its network is only its own. */
  names: { containerPrefix: string; volumePrefix: string; network: string }
  /** The processes that run now: tests may kill them. */
  gateway(): Child
  agent(): Agent
  /** Starts one again in the place of one that ended: same port, same key. */
  restartGateway(): Promise<Child>
  restartAgent(): Promise<Agent>
  /** A call of the public API as the tenant, or with another token. */
  call(method: string, path: string, body?: unknown, token?: string): Promise<Response>
  /** Ends and removes everything, containers, volumes, network and database too. */
  close(): Promise<void>
}

const root = join(import.meta.dirname, '../..')

/** A whole real Porthole for one test file: an empty database, a gateway and an agent as processes, names of its own. */
export async function startStack(options: StackOptions = {}): Promise<TestStack> {
  const id = randomBytes(4).toString('hex')
  const names = { containerPrefix: `pt-${id}-browser-`, volumePrefix: `pt-${id}-profile-`, network: `pt-${id}-net` }
  const dir = mkdtempSync(join(tmpdir(), `porthole-stack-${id}-`))
  const dockerHost = testSetting('dockerHost')
  const docker = dockerAt(dockerHost, { tls: false, certPath: undefined })
  const endings: (() => Promise<unknown>)[] = [async () => rmSync(dir, { recursive: true, force: true })]
  try {
    // After the containers are gone, so that the last they said is kept.
    let stopFollowing = async () => {}
    endings.push(() => stopFollowing())
    const database = await freshDatabase()
    endings.push(database.drop, () => removeTraces(docker, names))
    const port = await freePort()
    const gatewayUrl = `http://127.0.0.1:${port}`
    // Kept until the whole run is over: no secret may be in them.
    const logDir = evidence.logFolder('stack')
    const place = { root, logDir, env: { ...inheritedEnv(), LOG_LEVEL: 'trace' } }
    const settings = { databaseUrl: database.url, publicUrl: gatewayUrl, secret: randomBytes(32).toString('hex') }
    evidence.remember('PORTHOLE_SECRET', settings.secret)
    const mint = async () => {
      const made = await bootstrapTenant({ ...place, ...settings, mode: options.mode ?? 'docker-per-principal' })
      rememberAnswer(made)
      return made
    }

    let gateway: Child
    const runGateway = () =>
      startGateway({
        ...place,
        ...settings,
        port,
        ...(options.gatewaySettings && { settings: options.gatewaySettings }),
      })
    gateway = await runGateway()
    endings.push(() => gateway.stop())

    const tokens = await mint()
    let agent: Agent
    const runAgent = (joinToken: string, agentPort: number) =>
      startAgent({
        ...place,
        ...names,
        gatewayUrl,
        joinToken,
        dataDir: join(dir, 'agent'),
        hostName: `test-${id}`,
        dockerHost,
        image: testSetting('image'),
        port: agentPort,
        ...(options.agentSettings && { settings: options.agentSettings }),
      })
    agent = await runAgent(tokens.joinToken, 0)
    endings.push(() => agent.stop())
    const hostFile = JSON.parse(readFileSync(join(dir, 'agent/host.json'), 'utf8')) as { key: { d: string } }
    evidence.remember('host key', hostFile.key.d)
    stopFollowing = await followContainers(docker, agent.hostId, logDir)

    return {
      ...tokens,
      gatewayUrl,
      databaseUrl: database.url,
      hostId: agent.hostId,
      docker,
      names,
      gateway: () => gateway,
      agent: () => agent,
      async restartGateway() {
        await gateway.stop()
        gateway = await runGateway()
        return gateway
      },
      async restartAgent() {
        await agent.stop()
        const { joinToken } = await mint()
        agent = await runAgent(joinToken, Number(new URL(agent.url).port))
        return agent
      },
      async call(method, path, body, token = tokens.tenantToken) {
        rememberEnv(body)
        const answer = await fetch(`${gatewayUrl}${path}`, {
          method,
          signal: AbortSignal.timeout(60_000),
          headers: {
            authorization: `Bearer ${token}`,
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        })
        // What a runtime answers, or streams, is its own.
        if (path.startsWith('/v1/') && /json/.test(answer.headers.get('content-type') ?? ''))
          rememberAnswer(
            await answer
              .clone()
              .json()
              .catch(() => undefined),
          )
        return answer
      },
      close: () => closeAll(endings),
    }
  } catch (error) {
    await closeAll(endings)
    throw error
  }
}

/** The last started first; one that fails does not keep the others. */
async function closeAll(endings: (() => Promise<unknown>)[]) {
  const failures: unknown[] = []
  for (let end = endings.pop(); end; end = endings.pop()) await end().catch(error => failures.push(error))
  if (failures.length > 0) throw new AggregateError(failures, 'closing the test stack left something behind')
}

async function removeTraces(docker: Docker, { containerPrefix, volumePrefix, network }: TestStack['names']) {
  const containers = await docker.listContainers({ all: true, filters: { name: [`^/${containerPrefix}`] } })
  await Promise.all(containers.map(({ Id }) => docker.getContainer(Id).remove({ force: true, v: true })))
  const { Volumes } = await docker.listVolumes({ filters: { name: [volumePrefix] } })
  const own = (Volumes ?? []).filter(({ Name }) => Name.startsWith(volumePrefix))
  await Promise.all(own.map(({ Name }) => docker.getVolume(Name).remove()))
  const networks = await docker.listNetworks({ filters: { name: [network] } })
  await Promise.all(networks.filter(({ Name }) => Name === network).map(({ Id }) => docker.getNetwork(Id).remove()))
}
