import { type Db, events, hosts, profiles, runtimes, tenants, volumeRemovals } from '@porthole/db'
import type { Lab, LabHost } from '../lab/kit.ts'
import type { Evidence, SeenContainer, SeenEngine } from './evidence.ts'
import { type Footprint, footprintOf } from './footprint.ts'

const dockersOwn = ['bridge', 'host', 'none']

/** What an engine has that belongs to the lab. */
const lookAt = async (
  { id, docker }: Pick<LabHost, 'id' | 'docker'>,
  names: Evidence['names'],
): Promise<SeenEngine> => {
  const [containers, { Volumes }, networks] = await Promise.all([
    docker.listContainers({ all: true, filters: { name: [names.containerPrefix] } }),
    docker.listVolumes(),
    docker.listNetworks(),
  ])
  return {
    host: id,
    containers: containers.map(
      ({ Id, Names, Labels, State }): SeenContainer => ({
        id: Id,
        name: (Names[0] ?? '').slice(1),
        runtime: Labels['porthole.runtime'] ?? '',
        generation: Number(Labels['porthole.generation']),
        state: State,
      }),
    ),
    // All of them: one that nobody named is somebody's too.
    volumes: (Volumes ?? []).map(({ Name }) => Name),
    networks: networks.map(({ Name }) => Name).filter(name => !dockersOwn.includes(name)),
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
  return {
    hosts: hostRows,
    tenants: tenantRows,
    runtimes: runtimeRows,
    profiles: profileRows,
    removals,
    events: eventRows,
    engines: await Promise.all(lab.hosts.map(host => lookAt(host, lab.names))),
    names: lab.names,
    footprints: { before, after: await footprintOf(lab) },
    ...said,
  }
}

/** A container as it was started: another one, or one that was started again, is not the same. */
export type Started = { id: string; startedAt: string }

/** The lab's containers that run, by name; of the engines that answer. */
export const startedContainers = async ({ hosts, names }: Pick<Lab, 'hosts' | 'names'>) => {
  const found = new Map<string, Started>()
  const look = async ({ docker }: LabHost) => {
    const abortSignal = AbortSignal.timeout(5000)
    const filters = { name: [names.containerPrefix], status: ['running'] }
    for (const { Id } of await docker.listContainers({ filters, abortSignal })) {
      const { Name, State } = await docker.getContainer(Id).inspect({ abortSignal })
      found.set(Name.slice(1), { id: Id, startedAt: State.StartedAt })
    }
  }
  // What an engine that is away has is not known, so nothing is said of it.
  await Promise.all(hosts.map(host => look(host).catch(() => {})))
  return found
}
