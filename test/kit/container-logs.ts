import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type Docker from 'dockerode'
import { type Evidence, evidence } from './evidence.ts'

/**
 * Follows the containers of a host from their start: what they say goes to files in `folder`, and their keys are noted.
 * The function it gives ends that.
 */
export async function followContainers(
  docker: Docker,
  hostId: string,
  folder: string,
  to: Evidence = evidence,
): Promise<() => Promise<void>> {
  const stop = new AbortController()
  const following: Promise<unknown>[] = []
  const events = (await docker.getEvents({
    // From a second ago: the host may be quicker than this call.
    since: Math.floor(Date.now() / 1000) - 1,
    filters: { type: ['container'], event: ['start'], label: [`porthole.host=${hostId}`] },
    abortSignal: stop.signal,
  })) as Readable
  // Its end is our own doing.
  events.on('error', () => {})
  const lines = createInterface({ input: events })
  // As with the stream: readline passes its failures on.
  lines.on('error', () => {})
  lines.on('line', line => {
    const { id } = JSON.parse(line) as { id: string }
    // A container that is gone again before it could be looked at is of no concern to anybody.
    following.push(follow(docker, id, folder, to, stop.signal).catch(() => {}))
  })
  return async () => {
    stop.abort()
    events.destroy()
    await Promise.all(following)
  }
}

async function follow(docker: Docker, id: string, folder: string, to: Evidence, signal: AbortSignal) {
  const container = docker.getContainer(id)
  const { Config } = await container.inspect({ abortSignal: signal })
  const key = Config.Env.find(line => line.startsWith('PORTHOLE_KEY='))
  to.remember('container key', key?.slice('PORTHOLE_KEY='.length))
  const said = (await container.logs({ follow: true, stdout: true, stderr: true, abortSignal: signal })) as Readable
  const file = createWriteStream(join(folder, `container-${id.slice(0, 12)}.log`), { flags: 'a', mode: 0o600 })
  docker.modem.demuxStream(said, file, file)
  await new Promise<void>(resolve => {
    for (const end of ['end', 'close', 'error']) said.once(end, () => resolve())
  })
  await new Promise<void>(resolve => file.end(resolve))
}
