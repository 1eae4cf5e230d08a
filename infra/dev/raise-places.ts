import { cpus, hostname, totalmem } from 'node:os'
import { join } from 'node:path'
import { shareOf } from '../hosts/share.ts'
import { startHosts } from '../hosts/start-hosts.ts'
import { hostsDir } from './leftovers.ts'
import { hostNameOf, keepPrefixes, usualPrefixes } from './names.ts'
import type { Place } from './place.ts'
import type { Step } from './process-identity.ts'
import { inStep } from './progress.ts'
import { type RaisedDocker, raiseDocker } from './raise-docker.ts'
import type { Raising } from './raising.ts'

/** As a second Ctrl-C asks. What an engine has no time to end is ended after it. */
const atOnce: readonly Step[] = [
  ['SIGTERM', 2_000],
  ['SIGKILL', 3_000],
]

export type RaisedPlaces = {
  places: Place[]
  /** Where they reach this machine; undefined: on its loopback. */
  bridgeAddress: string | undefined
}

/** The engines that agents are for: this machine's own, or one in each of several namespaces. */
export async function raisePlaces(raising: Raising): Promise<RaisedPlaces> {
  const found = await raiseDocker(raising)
  return raising.shape.hosts === 1 ? await thisMachine(raising, found) : await partsOfIt(raising, found)
}

async function thisMachine({ state }: Raising, found: RaisedDocker): Promise<RaisedPlaces> {
  const place: Place = {
    name: hostNameOf(hostname()),
    ...found,
    prefixes: await keepPrefixes(found.docker, join(state.dir, 'names.json')),
    dataDir: join(state.dir, 'agent'),
  }
  return { places: [place], bridgeAddress: undefined }
}

async function partsOfIt(raising: Raising, found: RaisedDocker): Promise<RaisedPlaces> {
  const { state, shape, progress, endings, signal } = raising
  const raised = await inStep(
    progress,
    'Hosts',
    step =>
      startHosts({
        count: shape.hosts,
        dir: hostsDir(state),
        name: hostNameOf(hostname()).slice(0, 60).replace(/-+$/, ''),
        image: { docker: found.docker, tag: found.image },
        onProgress: step.update,
        signal,
      }),
    ({ hosts }) => hosts.map(({ address }) => address).join(' '),
  )
  // After everything that uses them.
  endings.unshift({ title: 'Hosts', stop: () => raised.close(), force: () => raised.close(atOnce) })
  const settings = shareOf(shape.hosts, Math.floor(totalmem() / 2 ** 20), cpus().length)
  const places = raised.hosts.map(
    ({ name, docker, dockerHost, netns, within, address, folder }, n): Place => ({
      name,
      number: n + 1,
      docker,
      dockerHost,
      netns,
      within,
      listenHost: address,
      image: found.image,
      prefixes: usualPrefixes,
      dataDir: join(folder, 'agent'),
      settings,
    }),
  )
  return { places, bridgeAddress: raised.bridgeAddress }
}
