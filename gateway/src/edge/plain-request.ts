import type http from 'node:http'
import { Problem } from '../problem.ts'
import { isPlainTarget } from './route.ts'

const count = ({ rawHeaders }: http.IncomingMessage, wanted: string): number => {
  let found = 0
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]?.toLowerCase() === wanted) found += 1
  return found
}

/** The connection ends with the answer: what follows on it may have been meant as part of this request. */
const refusal = (detail: string) => new Problem('invalid-request', { detail, headers: { connection: 'close' } })

/**
 * What two programs on the way could read differently, and Node lets through. Such a request is refused before anything
 * is asked about it.
 *
 * @throws Problem `bad-path`, `invalid-request`
 */
export const demandPlain = (req: http.IncomingMessage): void => {
  if (!isPlainTarget(req.url ?? '')) throw new Problem('bad-path', { headers: { connection: 'close' } })
  if (count(req, 'host') > 1) throw refusal('two Host headers')
  const coding = req.headers['transfer-encoding']
  if (coding === undefined) return
  // RFC 9112 section 6.1: in HTTP/1.0 the framing is faulty; any coding but this one we could not undo.
  if (req.httpVersion !== '1.1') throw refusal('Transfer-Encoding needs HTTP/1.1')
  if (coding.toLowerCase() !== 'chunked') throw refusal('the only Transfer-Encoding taken is chunked')
}
