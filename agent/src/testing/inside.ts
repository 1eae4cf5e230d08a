import { PassThrough } from 'node:stream'
import type Docker from 'dockerode'

/** Runs a command in a container; gives its standard output and error together. Ends within 60 s. */
export const runIn = async (
  docker: Docker,
  container: string,
  command: string[],
  more: { user?: string } = {},
): Promise<{ output: string; code: number | null }> => {
  const exec = await docker
    .getContainer(container)
    .exec({ Cmd: command, AttachStdout: true, AttachStderr: true, ...(more.user ? { User: more.user } : {}) })
  const stream = await exec.start({ abortSignal: AbortSignal.timeout(60_000) })
  const output = new PassThrough()
  docker.modem.demuxStream(stream, output, output)
  stream.once('end', () => output.end())
  stream.once('error', error => output.destroy(error))
  let text = ''
  for await (const chunk of output.setEncoding('utf8')) text += chunk
  return { output: text, code: (await exec.inspect()).ExitCode }
}
