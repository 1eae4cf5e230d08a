import { X509Certificate } from 'node:crypto'
import { isLoopback, timeHeader } from '@porthole/protocol'
import type { Logger } from 'pino'
import { Agent, request } from 'undici'
import { type Config, ConfigError } from './config.ts'
import { localFiles } from './engine/local-files.ts'

/**
 * How the agent calls its gateway: trusting what Node trusts, or the operator's CA and no other. Redirects are not followed.
 * @param signal ends what is under way
 * @throws ConfigError when the CA can't be read
 */
export const createGatewayFetch = async (
  { gatewayUrl, gatewayCa }: Pick<Config, 'gatewayUrl' | 'gatewayCa'>,
  log: Logger,
  signal: AbortSignal,
): Promise<typeof fetch> => {
  if (gatewayUrl.startsWith('http:') && !isLoopback(gatewayUrl)) {
    log.warn(
      { gateway: gatewayUrl },
      'the link to the gateway is plain: anyone on the way can read and change it, a join token too; give the gateway TLS, and PORTHOLE_GATEWAY_URL https://',
    )
  }
  if (gatewayCa === undefined) return fetch
  const dispatcher = new Agent({ connect: { ca: await readCa(gatewayCa) } })
  signal.addEventListener('abort', () => void dispatcher.destroy())
  return async (input, init) => {
    const asked = new Request(input, init)
    const {
      statusCode: status,
      headers,
      body,
    } = await request(asked.url, {
      dispatcher,
      method: asked.method,
      headers: Object.fromEntries(asked.headers),
      body: asked.body === null ? null : await asked.text(),
      signal: asked.signal,
    })
    const text = await body.text()
    const time = headers[timeHeader]
    return new Response(text === '' ? null : text, {
      status,
      ...(typeof time === 'string' && { headers: { [timeHeader]: time } }),
    })
  }
}

const readCa = async (path: string): Promise<string> => {
  const text = await localFiles.read(path).catch(() => undefined)
  try {
    new X509Certificate(text ?? '')
  } catch {
    throw new ConfigError(
      'PORTHOLE_GATEWAY_CA',
      'names no file with a certificate in it',
      'Write the path of a PEM file.',
    )
  }
  return text ?? ''
}
