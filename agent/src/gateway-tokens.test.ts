import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errors, generateKeyPair } from 'jose'
import { createGatewayTokens } from './gateway-tokens.ts'
import { AgentError } from './problems.ts'
import { type Claims, createSigner } from './testing/gateway.ts'
import { hostId, runtime } from './testing/orders.ts'

const seconds = () => Math.floor(Date.now() / 1000)
const hasCode = (code: string) => (error: unknown) => error instanceof AgentError && error.code === code

test("the gateway's own tokens are taken, each for its use", async () => {
  const signer = await createSigner()
  const tokens = createGatewayTokens(signer.keys, hostId)
  await tokens.command(await signer.command())
  assert.deepEqual(await tokens.hop(await signer.hop({ generation: 4, access: 'view' })), {
    runtimeId: runtime,
    generation: 4,
    access: 'view',
  })
  await assert.rejects(tokens.hop(await signer.command()), hasCode('unauthorized'))
  await assert.rejects(tokens.command(await signer.hop()), hasCode('unauthorized'))
})

test('a token that is foreign, old, too long-lived or missing is refused', async () => {
  const signer = await createSigner()
  const tokens = createGatewayTokens(signer.keys, hostId)
  const { privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519' })
  const bad: Claims[] = [
    { audience: 'host_b' },
    { issuer: 'someone' },
    { key: privateKey },
    { expiresAt: seconds() - 40 },
    { issuedAt: seconds() - 3600, expiresAt: seconds() + 3600 },
    { issuedAt: seconds() + 3600 },
  ]
  for (const claims of bad) {
    await assert.rejects(signer.command(claims).then(tokens.command), hasCode('unauthorized'), JSON.stringify(claims))
    await assert.rejects(signer.hop(claims).then(tokens.hop), hasCode('unauthorized'), JSON.stringify(claims))
  }
  for (const token of [undefined, '', 'x', 'a.b.c']) {
    await assert.rejects(tokens.command(token), hasCode('unauthorized'))
    await assert.rejects(tokens.hop(token), hasCode('unauthorized'))
  }
})

test('a remembered token does not outlive itself', async () => {
  const signer = await createSigner()
  let now = Date.now()
  let checks = 0
  const keys: typeof signer.keys = (...args) => {
    checks++
    return signer.keys(...args)
  }
  const tokens = createGatewayTokens(keys, hostId, () => now)
  const token = await signer.hop()
  await tokens.hop(token)
  await tokens.hop(token)
  assert.equal(checks, 1)
  now += 100_000
  await assert.rejects(tokens.hop(token), hasCode('unauthorized'))
})

test('keys that can not be had are not the fault of the token', async () => {
  const signer = await createSigner()
  const token = await signer.command()
  for (const failure of [new TypeError('fetch failed'), new errors.JWKSTimeout()]) {
    const tokens = createGatewayTokens(() => Promise.reject(failure), hostId)
    await assert.rejects(tokens.command(token), hasCode('keys-unavailable'))
  }
})
