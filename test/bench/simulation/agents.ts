import type { RequestListener } from 'node:http'
import { json } from 'node:stream/consumers'
import { type RuntimeFacts, startCommand } from '@porthole/protocol'
import type { SimulatedHost } from './host.ts'

/** The host that a command is meant for: its token's audience. Not verified: whoever can reach a simulated agent may use it. */
const audienceOf = (authorization = ''): string => {
  const [, claims = ''] = authorization.replace('Bearer ', '').split('.')
  return String(JSON.parse(Buffer.from(claims, 'base64url').toString()).aud)
}

/**
 * Agents of many hosts behind one port, that have done what they are told as soon as they are told.
 *
 * @param hostOf by its id
 */
export const answerAsAgents =
  (hostOf: (id: string) => SimulatedHost | undefined): RequestListener =>
  async (req, res) => {
    const answer = (status: number, body?: object) => {
      res.writeHead(status, { 'content-type': 'application/json' })
      res.end(body && JSON.stringify(body))
    }
    try {
      const host = hostOf(audienceOf(req.headers.authorization))
      const [, , , id = '', verb] = req.url?.split('?')[0]?.split('/') ?? []
      if (!host || !id) return answer(404, { code: 'not-found' })
      if (req.method === 'PUT') {
        const { generation, ownerHash } = startCommand.parse(await json(req))
        const facts: RuntimeFacts = { id, generation, ownerHash, state: 'running' }
        host.put(facts)
        return answer(200, facts)
      }
      const facts = host.runtimes().find(one => one.id === id)
      if (req.method === 'DELETE' || verb === 'stop') host.remove(id)
      if (req.method === 'DELETE') return answer(204)
      return facts ? answer(200, { ...facts, healthy: true }) : answer(404, { code: 'not-found' })
    } catch (error) {
      answer(500, { code: 'internal', detail: String(error) })
    }
  }
