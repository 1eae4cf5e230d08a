import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type AgentErrorCode, agentErrors, problemHeader } from '@porthole/protocol'
import { createRelay } from '@porthole/protocol/relay'
import { type ProblemCode, problems } from '../problem.ts'
import { insteadOfAgent, relayProblem } from './relay-problem.ts'

/** What each of an agent's refusals is to the one who sent the traffic. */
const translated: Record<AgentErrorCode, ProblemCode> = {
  'not-found': 'not-running',
  'wrong-state': 'not-running',
  'stale-generation': 'not-running',
  'port-unreachable': 'upstream-failed',
  'bad-request': 'host-unreachable',
  unauthorized: 'host-unreachable',
  'name-taken': 'host-unreachable',
  'runtime-exited': 'host-unreachable',
  'no-room': 'host-unreachable',
  busy: 'host-unreachable',
  'keys-unavailable': 'host-unreachable',
  'engine-unavailable': 'host-unreachable',
  'image-missing': 'host-unreachable',
  'engine-refused': 'host-unreachable',
  'not-ready': 'host-unreachable',
  internal: 'host-unreachable',
}

const instead = insteadOfAgent('req_1')
const isCode = (code: string): code is AgentErrorCode => Object.hasOwn(agentErrors, code)

for (const code of Object.keys(agentErrors).filter(isCode))
  test(`an agent's ${code} is told as ${translated[code]}, in our words`, () => {
    const [status] = agentErrors[code]
    const answer = instead(status, ['Content-Type', 'application/problem+json', 'X-Porthole-Problem', code])
    const ours = translated[code]
    assert.equal(answer?.status, problems[ours][0])
    const body = JSON.parse(answer.body)
    assert.deepEqual(body, {
      type: `urn:porthole:problem:${ours}`,
      title: problems[ours][1],
      status: problems[ours][0],
      code: ours,
      requestId: 'req_1',
    })
    assert.equal(answer.headers['retry-after'], ours === 'upstream-failed' ? undefined : '2')
    assert.equal(answer.headers['content-type'], 'application/problem+json')
  })

for (const [status, ours] of [
  [502, 'upstream-failed'],
  [503, 'not-running'],
  [504, 'upstream-timeout'],
] as const)
  test(`a port that an agent met a ${status} at is a ${status}`, () => {
    const answer = instead(status, ['X-Porthole-Problem', 'port-unreachable'])
    assert.equal(answer?.status, status)
    assert.equal(JSON.parse(answer.body).code, ours)
    assert.equal(answer.headers['retry-after'], status === 503 ? '2' : undefined)
  })

test('one exchange too many for the relay is a gateway that is full, and says when to try again', () => {
  const { body, headers } = relayProblem('req_1')({ code: 'overloaded', status: 503, title: 'Too many' })
  assert.equal(JSON.parse(body).code, 'gateway-full')
  assert.equal(headers['retry-after'], '1')
})

test('a code that nobody knows is still a problem of the host', () => {
  for (const code of ['', 'made-up', 'constructor', '__proto__', 'toString'])
    assert.equal(JSON.parse(instead(200, [problemHeader, code])?.body ?? '{}').code, 'host-unreachable')
})

test("a container's answer is left as it is, also where the name of the header is only in a value", () => {
  assert.equal(instead(503, ['content-type', 'application/problem+json']), undefined)
  assert.equal(instead(404, ['x-note', problemHeader, 'x-other', 'not-found']), undefined)
})

/** A gateway in front of a host, which answers as the test says. */
const bench = async (t: TestContext, answer: http.RequestListener) => {
  const relay = createRelay()
  t.after(() => relay.close())
  const listen = async (server: http.Server) => {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close().closeAllConnections())
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }
  const target = { origin: await listen(http.createServer(answer)), path: '/', headers: {}, instead }
  const gateway = http.createServer((req, res) => void relay.http(req, res, target))
  gateway.on('upgrade', (req, socket, head) => void relay.upgrade(req, socket, head, target))
  return listen(gateway)
}

const refusing: http.RequestListener = (req, res) => {
  req.resume()
  const body = JSON.stringify({ detail: 'the hop token names another host' })
  res.writeHead(401, { [problemHeader]: 'unauthorized', 'x-from': 'agent' }).end(body)
}

test("an agent's refusal never reaches the client of a request, nor of an upgrade", async t => {
  const url = await bench(t, refusing)
  const answer = await fetch(url)
  assert.equal(answer.status, 503)
  assert.equal(answer.headers.get(problemHeader), null)
  assert.equal(answer.headers.get('x-from'), null)
  assert.equal(JSON.parse(await answer.text()).code, 'host-unreachable')

  const request = http.get(url, {
    headers: {
      ...{ connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-key': 'x', 'sec-websocket-version': '13' },
    },
  })
  const [refused]: http.IncomingMessage[] = await once(request, 'response')
  assert.equal(refused?.statusCode, 503)
  assert.equal(refused.headers['x-from'], undefined)
  const text = (await refused.setEncoding('utf8').toArray()).join('')
  assert.equal(JSON.parse(text).code, 'host-unreachable')
})
