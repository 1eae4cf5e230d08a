import { parseArgs } from 'node:util'
import Docker from 'dockerode'
import { ensureImage, type Progress } from './build.ts'

const usage = `node infra/image/main.ts [--fresh] [--network <name>]

Builds the browser image on the Docker engine (DOCKER_HOST, or /var/run/docker.sock) unless it is there, and prints its tag.
  --fresh   build it again without the layer cache, with Debian's newest chromium
  --network the network on which it fetches packages, where the engine has no default bridge: host, or a network's name
`

const show = ({ phase, step, steps, text }: Progress): void => {
  const position = step === undefined ? '' : ` ${step}/${steps}`
  process.stderr.write(`${phase}${position}: ${text.slice(0, 160)}\n`)
}

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: { fresh: { type: 'boolean' }, network: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  })
  if (values.help) {
    process.stdout.write(usage)
    return
  }
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort(new Error('Interrupted')))
  const { tag } = await ensureImage({
    docker: new Docker(),
    onProgress: show,
    signal: stop.signal,
    fresh: values.fresh,
    network: values.network,
  })
  process.stdout.write(`${tag}\n`)
}

try {
  await main()
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
