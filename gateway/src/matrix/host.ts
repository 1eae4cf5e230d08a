import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { challengeAudience } from '@porthole/protocol'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { AgentRefused } from '../agents/client.ts'
import { fakeHost } from '../runtimes/testing.ts'

export type MatrixHost = {
  url: string
  /** The public key that it joins with. */
  key: string
  /** Has a runtime there, running. */
  has(runtime: { id: string; generation: number; ownerHash: string }): void
  close(): void
}

const verbOf = /^\/v1\/runtimes\/([^/?]+)(?:\/(stop|pause|resume))?(?:\?.*)?$/

/** The agent of a host whose containers are a map: it takes commands over HTTP, and all edge traffic. */
export const startHost = async (): Promise<MatrixHost> => {
  const { agents, containers } = fakeHost()
  const client = agents.at({ id: 'h1', url: '', certificate: null })
  const { publicKey, privateKey } = await generateKeyPair('Ed25519', { extractable: true })

  const answerTo = async (method: string, path: string, body: string): Promise<unknown> => {
    if (path === '/v1/challenge') {
      const jwt = new SignJWT({ nonce: JSON.parse(body).nonce }).setProtectedHeader({ alg: 'EdDSA' })
      return { proof: await jwt.setAudience(challengeAudience).setIssuedAt().sign(privateKey) }
    }
    const [, id = '', verb] = verbOf.exec(path) ?? []
    if (method === 'GET') return client.probe(id)
    const command = JSON.parse(body)
    if (method === 'PUT') return client.start(id, command)
    if (method === 'DELETE') return client.remove(id, command)
    const facts = containers.get(id)
    await client[verb as 'stop' | 'pause' | 'resume'](id, command)
    return containers.get(id) ?? { ...facts, state: 'exited' }
  }

  const server = http.createServer(async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk)
    const { method = '', url = '' } = req
    if (url.startsWith('/edge/')) {
      res.end('{}')
      return
    }
    try {
      const answer = await answerTo(method, url, Buffer.concat(chunks).toString())
      res.writeHead(answer === undefined ? 204 : 200, { 'content-type': 'application/json' })
      res.end(answer === undefined ? undefined : JSON.stringify(answer))
    } catch (error) {
      const status = error instanceof AgentRefused ? error.problem.status : 500
      res.writeHead(status).end(JSON.stringify(error instanceof AgentRefused ? error.problem : {}))
    }
  })
  server.on('upgrade', (_req, socket) => {
    socket.on('error', () => {})
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    key: (await exportJWK(publicKey)).x ?? '',
    has: ({ id, generation, ownerHash }) =>
      void containers.set(id, { id, generation, ownerHash, state: 'running', healthy: true }),
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}
