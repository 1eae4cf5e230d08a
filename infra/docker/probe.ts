import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import Docker from 'dockerode'
import { type Connection, parseAddress } from './addresses.ts'
import type { EngineConfig } from './config.ts'

/** What became of asking an engine whether it is there. */
export type Answer =
  | { kind: 'answers' }
  /** Nothing listens at the address. */
  | { kind: 'absent' }
  /** Something is there and this user may not talk to it. */
  | { kind: 'forbidden' }
  /** It is there, and gives another answer than a working engine. */
  | { kind: 'unwell'; reason: string }

/** A client of the engine at `address`. */
export function dockerAt(address: string, config: Pick<EngineConfig, 'tls' | 'certPath'>, timeout?: number): Docker {
  return new Docker({ ...dockerodeOptions(parseAddress(address, config)), ...(timeout ? { timeout } : {}) })
}

function dockerodeOptions(connection: Connection) {
  if ('socketPath' in connection) return connection
  const { certPath, ...rest } = connection
  const pem = (name: string) => readFileSync(join(certPath ?? '', `${name}.pem`))
  return certPath ? { ...rest, ca: pem('ca'), cert: pem('cert'), key: pem('key') } : rest
}

/** Asks the engine at `address` for a sign of life, for at most `timeoutMs`. */
export async function probe(
  address: string,
  config: Pick<EngineConfig, 'tls' | 'certPath'>,
  timeoutMs = 5_000,
): Promise<Answer> {
  const docker = dockerAt(address, config, timeoutMs)
  try {
    await docker.ping()
    return { kind: 'answers' }
  } catch (error) {
    return classify(error)
  }
}

export function classify(error: unknown): Answer {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code === 'EACCES' || code === 'EPERM') return { kind: 'forbidden' }
  if (['ENOENT', 'ECONNREFUSED', 'ENOTSOCK', 'ENOTDIR'].includes(code)) return { kind: 'absent' }
  return { kind: 'unwell', reason: error instanceof Error ? error.message : String(error) }
}
