import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { createHostTokens, NotItsOwn } from './beats-tokens.ts'

const audience = 'porthole-gateway'
const start = 1_700_000_000

describe("hosts' tokens", () => {
  const keys = new Map<string, { privateKey: CryptoKey; x: string }>()
  before(async () => {
    for (const id of ['h1', 'h2', 'h3']) {
      const { privateKey, publicKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true })
      keys.set(id, { privateKey, x: String((await exportJWK(publicKey)).x) })
    }
  })

  /** @param at seconds since the epoch */
  const sign = (id: string, { at = start, issuer = id, lifetime = 60, aud = audience } = {}) =>
    new SignJWT()
      .setProtectedHeader({ alg: 'EdDSA' })
      .setIssuer(issuer)
      .setAudience(aud)
      .setIssuedAt(at)
      .setExpirationTime(at + lifetime)
      .sign(keys.get(id)?.privateKey ?? assert.fail())

  const desk = (more: { most?: number } = {}) => {
    const clock = { seconds: start }
    const asked: string[] = []
    const tokens = createHostTokens({
      publicKeyOf: async id => {
        asked.push(id)
        return keys.get(id)?.x
      },
      now: () => clock.seconds * 1000,
      ...more,
    })
    return { ...tokens, clock, asked }
  }

  it('are good with the key of their host, which is asked for once', async () => {
    const { check, asked } = desk()
    const token = await sign('h1')
    for (let n = 0; n < 3; n += 1) await check('h1', token)
    await check('h1', await sign('h1', { at: start + 1 }))
    assert.deepEqual(asked, ['h1'])
  })

  it("are refused where they are another host's, for somebody else, or of nobody", async () => {
    const { check } = desk()
    const own = await sign('h1')
    await check('h1', own)
    for (const [id, token] of [
      ['h2', own],
      ['h1', await sign('h2')],
      ['h1', await sign('h2', { issuer: 'h1' })],
      ['h1', await sign('h1', { aud: 'porthole-join' })],
      ['h1', `${own.slice(0, -4)}AAAA`],
      ['h1', 'no token'],
      ['h9', await sign('h1', { issuer: 'h9' })],
    ] as const)
      await assert.rejects(check(id, token), NotItsOwn)
    // None of them has pushed the good one out.
    await check('h1', own)
  })

  it('that were good are not remembered beyond their end', async () => {
    const { check, clock } = desk()
    const token = await sign('h1')
    await check('h1', token)
    clock.seconds = start + 85
    // Clocks may differ by 30 s.
    await check('h1', token)
    clock.seconds = start + 91
    await assert.rejects(check('h1', token), NotItsOwn)
  })

  it('live no longer than tokens may, whatever they say', async () => {
    const { check, clock } = desk()
    const token = await sign('h1', { lifetime: 86_400 })
    await check('h1', token)
    clock.seconds = start + 91
    await assert.rejects(check('h1', token), NotItsOwn)
  })

  it('of a host that was forgotten are checked from the beginning', async () => {
    const { check, forget, asked } = desk()
    const token = await sign('h1')
    await check('h1', token)
    forget('h1')
    await check('h1', token)
    assert.deepEqual(asked, ['h1', 'h1'])
  })

  it('are remembered of so many hosts, and the oldest makes room', async () => {
    const { check, asked } = desk({ most: 2 })
    const tokens = new Map(await Promise.all([...keys.keys()].map(async id => [id, await sign(id)] as const)))
    for (const id of ['h1', 'h2', 'h3', 'h3', 'h1']) await check(id, tokens.get(id) ?? assert.fail())
    assert.deepEqual(asked, ['h1', 'h2', 'h3', 'h1'])
  })

  it('fail as the database does, which says nothing of them', async () => {
    const away = Object.assign(new Error('away'), { code: 'ECONNREFUSED' })
    const { check } = createHostTokens({ publicKeyOf: () => Promise.reject(away), now: Date.now })
    await assert.rejects(check('h1', await sign('h1')), { code: 'ECONNREFUSED' })
  })
})
