import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import Docker from 'dockerode'

/** The key of every runtime under test. */
export const key = 'the-key-of-this-test'

/** What a test reads out of an answer; it fails at what is not there. */
type Json = ReturnType<typeof JSON.parse>

export type Runtime = { container: Docker.Container; address: string }
export type Answer = { status: number; text: string; json: () => Json }

const readyDeadlineMs = 45_000
const seccompFile = join(import.meta.dirname, '../../../agent/src/engine/seccomp-browser.json')

/**
 * Makes runtimes as an agent does, on a network of its own, and removes everything in the end.
 * @param addresses of that network; without them the engine takes private ones
 */
export const createLab = async (addresses?: { Subnet: string; Gateway: string }) => {
  const docker = new Docker()
  const name = `porthole-test-${randomBytes(4).toString('hex')}`
  const network = await docker.createNetwork({
    Name: name,
    Driver: 'bridge',
    ...(addresses === undefined ? {} : { IPAM: { Config: [addresses] } }),
  })
  const gateway = (await network.inspect()).IPAM?.Config?.[0]?.Gateway
  if (gateway === undefined) throw new Error('The network has no gateway')
  const seccomp = JSON.stringify(JSON.parse(await readFile(seccompFile, 'utf8')))
  const containers = new Set<Docker.Container>()
  const volumes: Docker.Volume[] = []

  const request = (
    { address }: Pick<Runtime, 'address'>,
    port: number,
    path: string,
    headers: Record<string, string>,
    body?: string,
  ): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(60_000)
      const method = body === undefined ? 'GET' : 'POST'
      const outgoing = httpRequest({ host: address, port, path, headers, method, signal }, async answer => {
        let text = ''
        for await (const chunk of answer.setEncoding('utf8')) text += chunk
        resolve({ status: answer.statusCode ?? 0, text, json: () => JSON.parse(text) })
      })
      outgoing.once('error', reject)
      outgoing.end(body)
    })

  const isReady = async (address: string): Promise<boolean> => {
    const answer = await request({ address }, 8787, '/health', { 'x-porthole-key': key }).catch(() => undefined)
    return answer?.status === 200
  }

  return {
    docker,
    network: name,
    gateway,
    image: '',
    request,
    volume: async (): Promise<string> => {
      const volume = `${name}-${volumes.length}`
      await docker.createVolume({ Name: volume })
      volumes.push(docker.getVolume(volume))
      return volume
    },
    /** Starts a runtime with everything that a host restricts it by, and waits until it is ready. */
    async start({
      env = [],
      volume,
      hosts = [],
    }: {
      env?: string[]
      volume?: string
      /** `name:address`, as in its /etc/hosts. */
      hosts?: string[]
    }): Promise<Runtime> {
      const container = await docker.createContainer({
        name: `${name}-${randomBytes(3).toString('hex')}`,
        Image: this.image,
        Env: [`PORTHOLE_KEY=${key}`, ...env],
        HostConfig: {
          NetworkMode: name,
          CapDrop: ['ALL'],
          SecurityOpt: ['no-new-privileges', `seccomp=${seccomp}`],
          ReadonlyRootfs: true,
          Tmpfs: { '/tmp': '', '/run': '' },
          ShmSize: 2 * 1024 ** 3,
          Memory: 2 * 1024 ** 3,
          PidsLimit: 1024,
          ExtraHosts: hosts,
          ...(volume === undefined ? {} : { Mounts: [{ Type: 'volume', Source: volume, Target: '/data' }] }),
        },
      })
      containers.add(container)
      await container.start()
      const { NetworkSettings } = await container.inspect()
      const runtime = { container, address: NetworkSettings.Networks[name]?.IPAddress ?? '' }
      await this.ready(runtime)
      return runtime
    },
    async ready({ container, address }: Runtime): Promise<void> {
      const deadline = AbortSignal.timeout(readyDeadlineMs)
      while (!(await isReady(address))) {
        if (deadline.aborted)
          throw new Error(`not ready: ${(await container.logs({ stdout: true, stderr: true })).toString()}`)
        await sleep(50)
      }
    },
    run: (runtime: Runtime, actions: unknown[], headers: Record<string, string> = {}): Promise<Answer> =>
      request(runtime, 8787, '/run', { 'x-porthole-key': key, ...headers }, JSON.stringify({ actions })),
    /** Standard output and error of a command in the container. */
    async exec({ container }: Runtime, command: string[]): Promise<string> {
      const exec = await container.exec({ Cmd: command, AttachStdout: true, AttachStderr: true })
      const stream = await exec.start({})
      const output = new PassThrough()
      docker.modem.demuxStream(stream, output, output)
      stream.once('end', () => output.end())
      let text = ''
      for await (const chunk of output.setEncoding('utf8')) text += chunk
      return text
    },
    /** Stops as an agent does; gives the exit code. */
    async stop({ container }: Runtime): Promise<number> {
      await container.stop({ t: 15 })
      const { State } = await container.inspect()
      await container.remove({ v: true, force: true })
      containers.delete(container)
      return State.ExitCode
    },
    /** Kills and removes. */
    async remove({ container }: Runtime): Promise<void> {
      await container.remove({ v: true, force: true })
      containers.delete(container)
    },
    async ended({ container }: Runtime): Promise<{ code: number; log: string }> {
      const { StatusCode } = await container.wait({ abortSignal: AbortSignal.timeout(30_000) })
      return { code: StatusCode, log: (await container.logs({ stdout: true, stderr: true })).toString() }
    },
    async close(): Promise<void> {
      for (const container of containers) await container.remove({ v: true, force: true })
      for (const volume of volumes) await volume.remove()
      await network.remove()
    },
  }
}

export type Lab = Awaited<ReturnType<typeof createLab>>
