import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { allOrNone, eachOrNone } from '../../infra/dev/all-or-none.ts'
import { openDoorway } from '../../infra/dev/doorway.ts'
import { Explained } from '../../infra/dev/explained.ts'
import { gatewayApi } from '../../infra/dev/gateway-api.ts'
import { type BootstrapTokens, bootstrapTenant } from '../../infra/dev/stack.ts'
import { dockerAt } from '../../infra/docker/probe.ts'
import { ensureHostsPossible } from '../../infra/hosts/ability.ts'
import { startHosts } from '../../infra/hosts/start-hosts.ts'
import { inheritedEnv, readRunnerConfig, testSetting } from '../kit/config.ts'
import { rememberAnswer } from '../kit/credentials.ts'
import { freshDatabase } from '../kit/database.ts'
import { evidence } from '../kit/evidence.ts'
import { type Call, caller } from './call.ts'
import { makeClocks } from './clock.ts'
import { closeAll, type Ends } from './endings.ts'
import { type LabGateway, startLabGateway } from './gateway.ts'
import { type LabHost, startLabHost } from './host.ts'
import { labHosts, takeLab } from './lock.ts'
import { type LabPostgres, startLabPostgres } from './postgres.ts'

export type { LabGateway } from './gateway.ts'
export type { LabHost } from './host.ts'
export type { LabPostgres } from './postgres.ts'

export type LabOptions = {
  /** 3 unless told. */
  hosts?: number
  /** 2 unless told. */
  gateways?: number
  /** Of the first tenant. */
  mode?: string
  /** Further settings by their names in the environment. */
  gatewaySettings?: Readonly<Record<string, string>>
  agentSettings?: Readonly<Record<string, string>>
  /** A Postgres that nobody else uses and that can be killed, instead of a database on that of all tests. */
  ownPostgres?: boolean
  /** A disk for each host's engine that can be filled up. These engines have stores, and so images, of their own. */
  ownDisks?: boolean
  /** A clock for each gateway and agent that can be set wrong. */
  ownClocks?: boolean
}

export type Lab = BootstrapTokens & {
  hosts: LabHost[]
  gateways: LabGateway[]
  databaseUrl: string
  /** When it is the lab's own. */
  postgres: LabPostgres | undefined
  /** This machine's address as the hosts see it; the gateways listen there. */
  bridgeAddress: string
  /** Names of its containers and volumes begin with these; its network is only its own. */
  names: { containerPrefix: string; volumePrefix: string; network: string }
  call: Call
  /** Ends and removes everything but the engines' images. */
  close(): Promise<void>
}

const root = join(import.meta.dirname, '../..')

/** The image, what is made of it, and room above what an agent keeps free (a gigabyte). */
const diskBytes = 5 * 2 ** 30

/** Why there can be no lab here, for a test's `skip`; false when there can. */
export function noLab(): string | false {
  try {
    ensureHostsPossible()
    return false
  } catch (error) {
    return error instanceof Explained ? error.message : String(error)
  }
}

/**
 * Several real hosts and gateways for one test file: an engine, an address and an agent per host, an empty database. One lab
 * at a time: waits for that of another file. The first on a machine copies the browser image, which takes a minute; give
 * the hook that calls this `labTimeout`.
 */
export async function startLab(options: LabOptions = {}): Promise<Lab> {
  const id = randomBytes(4).toString('hex')
  const names = { containerPrefix: `pt-${id}-browser-`, volumePrefix: `pt-${id}-profile-`, network: `pt-${id}-net` }
  const endings: Ends = []
  try {
    endings.push(await takeLab())
    const docker = dockerAt(testSetting('dockerHost'), { tls: false, certPath: undefined })
    const image = testSetting('image')
    const { url: databaseUrl, postgres } = await openDatabase(options, endings)
    const logDir = evidence.logFolder('lab')
    const place = { root, logDir, env: { ...inheritedEnv(), LOG_LEVEL: 'trace' } }
    const secret = evidence.remember('PORTHOLE_SECRET', randomBytes(32).toString('hex'))
    const shared = { databaseUrl, secret }
    const mode = options.mode ?? 'docker-per-principal'
    // Long steps side by side: this one migrates the database.
    const [made, tokens] = await allOrNone(new AbortController().signal, signal => [
      startHosts({
        count: options.hosts ?? 3,
        dir: labHosts,
        name: `lab-${id}`,
        image: { docker, tag: image },
        ...(options.ownDisks && { diskBytes }),
        signal,
      }).then(made => {
        endings.push(made.close)
        return made
      }),
      bootstrapTenant({ ...place, ...shared, publicUrl: 'http://127.0.0.1', mode, signal }),
    ])
    rememberAnswer(tokens)
    const { bridgeAddress } = made

    // Keys are of one lab: in another database the same key would be another host.
    const keys = mkdtempSync(join(tmpdir(), `porthole-lab-${id}-`))
    endings.push(async () => rmSync(keys, { recursive: true, force: true }))
    const makeClock = options.ownClocks
      ? await makeClocks(join(keys, 'clocks'), readRunnerConfig().path)
      : async () => undefined
    const gateways = await eachOrNone(new AbortController().signal, signal =>
      Array.from({ length: options.gateways ?? 2 }, async (_, n) => {
        const settings = options.gatewaySettings
        const clock = await makeClock(`gateway-${n + 1}`)
        const facts = { number: n + 1, bridgeAddress, settings, clock }
        const gateway = await startLabGateway({ ...place, ...shared, ...facts, signal })
        endings.push(() => gateway.process().stop())
        return gateway
      }),
    )
    const [first] = gateways
    if (!first) throw new Error('a lab needs a gateway')
    const doorway = await openDoorway({ host: bridgeAddress, to: gateways.map(({ url }) => url) })
    endings.push(doorway.close)

    const newJoinToken = async () =>
      evidence.remember(
        'join token',
        await gatewayApi(doorway.url, tokens.adminToken).joinToken(AbortSignal.timeout(15_000)),
      )
    const joining = { ...place, gatewayUrl: doorway.url, names, image, newJoinToken, settings: options.agentSettings }
    const hosts = await eachOrNone(new AbortController().signal, signal =>
      made.hosts.map(async host => {
        const clock = await makeClock(host.name)
        const started = await startLabHost({ ...joining, host, clock, dataDir: join(keys, host.name), signal })
        endings.push(started.end)
        return started.host
      }),
    )
    return {
      ...tokens,
      hosts,
      gateways,
      databaseUrl,
      postgres,
      bridgeAddress,
      names,
      call: caller(first.url, tokens.tenantToken),
      close: () => closeAll(endings),
    }
  } catch (error) {
    await closeAll(endings)
    throw error
  }
}

async function openDatabase({ ownPostgres }: LabOptions, endings: Ends) {
  if (!ownPostgres) {
    const database = await freshDatabase()
    endings.push(database.drop)
    return { url: database.url, postgres: undefined }
  }
  const { postgres, end } = await startLabPostgres()
  endings.push(end)
  return { url: postgres.url, postgres }
}

/** Milliseconds for the hook that starts a lab: another file's may come first, and the image may have to be copied. */
export const labTimeout = 900_000
