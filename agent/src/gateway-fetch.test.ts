import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import https from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { timeHeader } from '@porthole/protocol'
import { createRemoteJWKSet, customFetch } from 'jose'
import { pino } from 'pino'
import { makeCertificate } from './certificate.ts'
import { ConfigError } from './config.ts'
import { createGatewayFetch } from './gateway-fetch.ts'
import { listen } from './server.ts'
import { silent } from './testing/orders.ts'

const gateway = async (t: TestContext) => {
  const { key, cert } = await makeCertificate({ hostName: 'gateway', host: '127.0.0.1' }, Date.now())
  const server = https.createServer({ key, cert }, async (req, res) => {
    const body = (await req.setEncoding('utf8').toArray()).join('')
    const status = req.url === '/moved' ? 302 : 200
    res
      .writeHead(status, { location: '/', [timeHeader]: '1234' })
      .end(
        JSON.stringify(
          req.url === '/jwks.json' ? { keys: [] } : { method: req.method, body, auth: req.headers.authorization },
        ),
      )
  })
  const port = await listen(server, '127.0.0.1', 0)
  const dir = await mkdtemp(join(tmpdir(), 'porthole-agent-'))
  const gatewayCa = join(dir, 'ca.pem')
  await writeFile(gatewayCa, cert)
  const stop = new AbortController()
  t.after(async () => {
    stop.abort()
    server.close().closeAllConnections()
    await rm(dir, { recursive: true })
  })
  return { gatewayUrl: `https://127.0.0.1:${port}`, gatewayCa, dir, signal: stop.signal }
}

test("the operator's CA vouches for a gateway, and nobody does without it", async t => {
  const { gatewayUrl, gatewayCa, signal } = await gateway(t)
  const send = await createGatewayFetch({ gatewayUrl, gatewayCa }, silent, signal)
  const answer = await send(`${gatewayUrl}/x`, { method: 'POST', body: 'hi', headers: { authorization: 'Bearer t' } })
  assert.equal(answer.ok, true)
  assert.equal(answer.headers.get(timeHeader), '1234')
  assert.deepEqual(await answer.json(), { method: 'POST', body: 'hi', auth: 'Bearer t' })
  assert.equal((await send(`${gatewayUrl}/moved`)).ok, false)
  await assert.rejects(send(gatewayUrl, { signal: AbortSignal.abort() }))
  const other = await gateway(t)
  const wrong = await createGatewayFetch({ gatewayUrl, gatewayCa: other.gatewayCa }, silent, signal)
  await assert.rejects(wrong(gatewayUrl), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
  const without = await createGatewayFetch({ gatewayUrl }, silent, signal)
  await assert.rejects(without(gatewayUrl), { message: 'fetch failed' })
})

test("the gateway's keys are fetched the same way", async t => {
  const { gatewayUrl, gatewayCa, signal } = await gateway(t)
  const send = await createGatewayFetch({ gatewayUrl, gatewayCa }, silent, signal)
  const keys = createRemoteJWKSet(new URL(`${gatewayUrl}/jwks.json`), { [customFetch]: send })
  await keys.reload()
  assert.deepEqual(keys.jwks(), { keys: [] })
})

test('a CA that is none stops the start', async t => {
  const { gatewayUrl, dir, signal } = await gateway(t)
  await writeFile(join(dir, 'bad.pem'), 'not a certificate')
  for (const name of ['bad.pem', 'missing.pem'])
    await assert.rejects(
      createGatewayFetch({ gatewayUrl, gatewayCa: join(dir, name) }, silent, signal),
      (error: unknown) => error instanceof ConfigError && error.variable === 'PORTHOLE_GATEWAY_CA',
    )
})

test('a plain link to a gateway elsewhere is told of once', async t => {
  const said = async (gatewayUrl: string) => {
    const lines: string[] = []
    const log = pino({}, { write: line => lines.push(line) })
    await createGatewayFetch({ gatewayUrl }, log, t.signal)
    return lines
  }
  const lines = await said('http://10.0.0.1:4747')
  assert.equal(lines.length, 1)
  assert.match(String(lines), /"level":40.*the link to the gateway is plain/)
  for (const url of ['http://127.0.0.1:4747', 'http://localhost:4747', 'https://10.0.0.1'])
    assert.deepEqual(await said(url), [])
})
