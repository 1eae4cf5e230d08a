import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type Docker from 'dockerode'
import { ensureBase } from '../../../infra/image/base.ts'
import { followEngine } from '../../../infra/image/engine-stream.ts'
import { architectures, type EngineArchitecture } from '../../../infra/image/node-binary.ts'
import { packTexts } from '../../../infra/image/texts.ts'

const port = 9222
/** As the manager that Porthole replaces asks whether a container is ready. */
const pollMs = 1000
const startMs = 60_000
const buildMs = 20 * 60_000

const dockerfile = `ARG BASE
FROM \${BASE}
RUN apt-get update \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \\
      ca-certificates chromium xvfb x11vnc websockify socat fonts-liberation \\
 && rm -rf /var/lib/apt/lists/*
COPY start.sh /start.sh
CMD ["sh", "/start.sh"]
`

// Each as soon as what it needs is there. Chromium listens on its own loopback only, whatever it is told.
const script = `Xvfb :99 -screen 0 1280x800x24 -nolisten tcp &
until [ -S /tmp/.X11-unix/X99 ]; do sleep 0.02; done
x11vnc -display :99 -forever -shared -nopw -localhost -quiet &
websockify 6080 127.0.0.1:5900 &
socat TCP-LISTEN:${port},fork,reuseaddr TCP:127.0.0.1:9223 &
DISPLAY=:99 exec chromium --no-sandbox --remote-debugging-port=9223 --user-data-dir=/tmp/profile \\
  --no-first-run --no-default-browser-check about:blank
`

/** A container that somebody would put together by hand: Xvfb, x11vnc, websockify and Chromium from Debian. */
export type PlainContainer = { id: string; address: string; container: Docker.Container }

export type Plain = {
  /** Creates and starts one, and asks once a second until DevTools answer. */
  start(name: string, signal: AbortSignal): Promise<PlainContainer>
  /** Whether its DevTools answer. */
  answers(plain: Pick<PlainContainer, 'address'>): Promise<boolean>
  remove(plain: Pick<PlainContainer, 'container'>): Promise<void>
}

/** @param options.network a network of the bench's own */
export const createPlain = (
  docker: Docker,
  { image, network, prefix }: { image: string; network: string; prefix: string },
): Plain => {
  const answers: Plain['answers'] = async ({ address }) => {
    try {
      const answer = await fetch(`http://${address}:${port}/json/version`, { signal: AbortSignal.timeout(pollMs) })
      await answer.arrayBuffer()
      return answer.ok
    } catch {
      return false
    }
  }
  return {
    answers,
    start: async (name, signal) => {
      const container = await docker.createContainer({
        name: `${prefix}${name}`,
        Image: image,
        HostConfig: { NetworkMode: network, ShmSize: 2 * 1024 ** 3, Memory: 2 * 1024 ** 3 },
      })
      await container.start()
      const { NetworkSettings } = await container.inspect()
      const address = NetworkSettings.Networks[network]?.IPAddress
      if (!address) throw new Error(`the plain container ${name} has no address`)
      const deadline = performance.now() + startMs
      for (let next = performance.now() + pollMs; !(await answers({ address })); next += pollMs) {
        signal.throwIfAborted()
        if (performance.now() > deadline) throw new Error(`the plain container ${name} does not answer`)
        await sleep(Math.max(0, next - performance.now()), undefined, { signal })
      }
      return { id: container.id, address, container }
    },
    remove: ({ container }) => container.remove({ force: true, v: true }),
  }
}

/** Builds the plain image on the Debian base that ours is built on, unless it is there. @returns its tag */
export const ensurePlainImage = async (
  docker: Docker,
  { tell, signal }: { tell(what: string): void; signal: AbortSignal },
): Promise<string> => {
  const digest = createHash('sha256').update(dockerfile).update(script).digest('hex').slice(0, 12)
  const tag = `porthole-bench-plain:${digest}`
  const isThere = await docker
    .getImage(tag)
    .inspect()
    .catch((error: Error & { statusCode?: number }) => {
      if (error.statusCode === 404) return undefined
      throw error
    })
  if (isThere) return tag
  tell('building the plain image to compare with')
  const limit = AbortSignal.any([signal, AbortSignal.timeout(buildMs)])
  const { Arch } = await docker.version()
  if (!Object.hasOwn(architectures, Arch)) throw new Error(`there is no base image for ${Arch}`)
  const base = await ensureBase({
    docker,
    architecture: Arch as EngineArchitecture,
    onProgress: () => {},
    signal: limit,
  })
  const stream = await docker.buildImage(packTexts({ Dockerfile: dockerfile, 'start.sh': script }), {
    t: tag,
    buildargs: { BASE: base },
    rm: true,
    forcerm: true,
    abortSignal: limit,
  })
  await followEngine(stream, () => {})
  return tag
}
