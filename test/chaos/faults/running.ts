import type Docker from 'dockerode'
import type { Lab } from '../../lab/kit.ts'

export type RunningContainer = { name: string; host: string; container: Docker.Container }

/** The runtimes' containers that run, not frozen, on whichever hosts can be asked; in the order of their names. */
export async function runningContainers({ hosts, names }: Lab): Promise<RunningContainer[]> {
  const filters = { name: [names.containerPrefix], status: ['running'] }
  const lists = await Promise.all(
    hosts.map(async ({ docker, name: host }) => {
      const abortSignal = AbortSignal.timeout(5_000)
      // An engine that another fault has struck has nothing to offer.
      const found = await docker.listContainers({ filters, abortSignal }).catch(() => [])
      return found.map(({ Id, Names }) => ({
        name: Names[0]?.slice(1) ?? Id,
        host,
        container: docker.getContainer(Id),
      }))
    }),
  )
  return lists.flat().sort((a, b) => a.name.localeCompare(b.name))
}
