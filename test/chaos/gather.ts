import { type Db, events, hosts, profiles, runtimes, tenants, volumeRemovals } from '@porthole/db'
import type { Lab, LabHost } from '../lab/kit.ts'
import type { Evidence, SeenContainer, SeenEngine } from './evidence.ts'
import { type Footprint, footprintOf } from './footprint.ts'
import { markIn } from './marks.ts'

const dockersOwn = ['bridge', 'host', 'none']

/** Of a lab that was cut off: engines keep what they store, and it goes when this one ends. Its random name is not ours. */
const isOfEarlierLab = ({ containerPrefix, volumePrefix, network }: Evidence['names'], name: string) =>
  /^pt-[0-9a-f]{8}-/.test(name) && ![containerPrefix, volumePrefix, network].some(own => name.startsWith(own))

/** All of an engine's containers, ended ones too: one that nobody named is somebody's too. */
export const listContainers = async (
  docker: LabHost['docker'],
  names: Evidence['names'],
  abortSignal?: AbortSignal,
): Promise<SeenContainer[]> => {
  const all = await docker.listContainers({ all: true, ...(abortSignal && { abortSignal }) })
  return all
    .map(
      ({ Id, Names, Labels, State }): SeenContainer => ({
        id: Id,
        name: (Names[0] ?? '').slice(1),
        runtime: Labels['porthole.runtime'] ?? '',
        generation: Number(Labels['porthole.generation']) + (isClaimed(Labels, Names[0] ?? '') ? 1 : 0),
        state: State,
      }),
    )
    .filter(({ name }) => !isOfEarlierLab(names, name))
}

/** A container that was warm is by its name whose it is, and of the generation after the one that it was made as. */
const isClaimed = (labels: Record<string, string>, name: string) =>
  labels['porthole.warm'] !== undefined && !name.endsWith(labels['browser_use.owner_hash'] ?? '')

/** What an engine has. Nobody else uses it. */
const lookAt = async (host: Pick<LabHost, 'id' | 'docker'>, names: Evidence['names']): Promise<SeenEngine> => {
  const { id, docker } = host
  const [containers, { Volumes }, networks] = await Promise.all([
    listContainers(docker, names),
    docker.listVolumes(),
    docker.listNetworks(),
  ])
  // What stands behind an owner's volume is that owner's.
  const behind = new Set((Volumes ?? []).map(({ Labels }) => Labels?.['porthole.backing']))
  const volumes = (Volumes ?? [])
    .map(({ Name }) => Name)
    .filter(name => !behind.has(name) && !isOfEarlierLab(names, name))
  const marks = await Promise.all(volumes.map(async name => [name, await markIn(host, name)] as const))
  return {
    host: id,
    containers,
    volumes,
    networks: networks
      .map(({ Name }) => Name)
      .filter(name => !dockersOwn.includes(name) && !isOfEarlierLab(names, name)),
    marks: Object.fromEntries(marks.filter((pair): pair is [string, string] => pair[1] !== undefined)),
  }
}

/** Everything that there is to compare. @throws when a database or an engine does not answer */
export const gather = async (
  lab: Pick<Lab, 'gateways' | 'hosts' | 'names'>,
  db: Db,
  { before, ...said }: Pick<Evidence, 'history' | 'callMs'> & { before: Footprint },
): Promise<Evidence> => {
  const [hostRows, tenantRows, runtimeRows, profileRows, removals, eventRows] = await Promise.all([
    db.select().from(hosts),
    db.select().from(tenants),
    db.select().from(runtimes),
    db.select().from(profiles),
    db.select().from(volumeRemovals),
    db.select().from(events).orderBy(events.seq),
  ])
  const tenantOf = new Map(runtimeRows.map(({ id, tenant }) => [id, tenant]))
  return {
    hosts: hostRows,
    tenants: tenantRows,
    runtimes: runtimeRows,
    profiles: profileRows,
    removals,
    // What was warm before it was somebody's is told apart.
    events: eventRows.filter(({ runtimeId, tenant }) => (tenantOf.get(runtimeId) ?? tenant) === tenant),
    engines: await Promise.all(lab.hosts.map(host => lookAt(host, lab.names))),
    names: lab.names,
    footprints: { before, after: await footprintOf(lab) },
    ...said,
  }
}

/** A container as it was started: another one, or one that was started again, is not the same. */
export type Started = { id: string; startedAt: string; host: string }

/** The lab's containers that run, by name; of the engines that answer. */
export const startedContainers = async ({ hosts, names }: Pick<Lab, 'hosts' | 'names'>) => {
  const found = new Map<string, Started>()
  const look = async ({ id: host, docker }: LabHost) => {
    const abortSignal = AbortSignal.timeout(5000)
    const filters = { name: [names.containerPrefix], status: ['running'] }
    for (const { Id } of await docker.listContainers({ filters, abortSignal })) {
      const { Name, State } = await docker.getContainer(Id).inspect({ abortSignal })
      found.set(Name.slice(1), { id: Id, startedAt: State.StartedAt, host })
    }
  }
  // What an engine that is away has is not known, so nothing is said of it.
  await Promise.all(hosts.map(host => look(host).catch(() => {})))
  return found
}
