import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parse } from 'hono/utils/cookie'
import { errors } from 'jose'
import type { OwnerHash } from '../identity/owner.ts'
import type { Issuer } from '../tokens/issuer.ts'
import { cleanViewPath, createViewPasses, signViewPass, ticketUrl, viewCookie } from './tickets.ts'

const hash = fc.stringMatching(/^[0-9a-f]{16}$/).map(text => text as OwnerHash)
const slug = fc.stringMatching(/^[a-z0-9]{1,8}$/)

/** An issuer whose signature is the payload's own text behind a mark: what was not signed here does not verify. */
const paperIssuer = (): Issuer => {
  const signed = new Map<string, Record<string, unknown>>()
  return {
    sign: async (claims: Record<string, unknown>, { audience }: { audience: string }) => {
      const token = `paper-${signed.size}`
      signed.set(`${audience} ${token}`, { ...claims, exp: 2_000_000_000 })
      return token
    },
    verify: async (token: string, audience: string) => {
      const payload = signed.get(`${audience} ${token}`)
      if (!payload) throw new errors.JWSInvalid()
      return payload
    },
  } as unknown as Issuer
}

describe('view cookies', () => {
  it('that were not signed here let nobody in, whatever they are', async () => {
    const issuer = paperIssuer()
    const passes = createViewPasses(issuer, () => 1_900_000_000_000)
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.string(), fc.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/)),
        hash,
        async (cookie, ownerHash) => {
          assert.equal(await passes.read(cookie, ownerHash), undefined)
        },
      ),
    )
  })

  it('come back as they were signed, for that owner and no other', async () => {
    const issuer = paperIssuer()
    const passes = createViewPasses(issuer, () => 1_900_000_000_000)
    await fc.assert(
      fc.asyncProperty(
        hash,
        hash,
        slug,
        fc.string(),
        fc.constantFrom('control', 'view'),
        fc.option(slug, { nil: undefined }),
        async (own, other, tenant, subject, access, issuerId) => {
          const pass = { tenant, ownerHash: own, access, subject, tokenId: undefined, issuerId } as const
          const cookie = await signViewPass(issuer, pass, 60)
          assert.deepEqual(await passes.read(cookie, own), { ...pass, expiresAt: 2_000_000_000 })
          if (own !== other) assert.equal(await passes.read(cookie, other), undefined)
        },
      ),
    )
  })

  it('are found among any others, and nothing is polluted by their names', () => {
    const name = fc.oneof(fc.constantFrom('__proto__', 'constructor', `${viewCookie}x`, ''), fc.string())
    fc.assert(
      fc.property(fc.array(fc.tuple(name, fc.string())), fc.stringMatching(/^[\w.-]{1,20}$/), (others, value) => {
        const kept = others
          .filter(([name]) => !/[;=,]/.test(name) && name.trim() !== viewCookie)
          .map(([name, value]) => `${name}=${value.replaceAll(';', '')}`)
        const header = [...kept, `${viewCookie}=${value}`].join('; ')
        assert.equal(parse(header, viewCookie)[viewCookie], value)
        assert.equal(Object.hasOwn(Object.prototype, viewCookie), false)
      }),
    )
  })
})

describe('ticket links', () => {
  it('carry their ticket to the page of that owner, and the clean address carries none', () => {
    fc.assert(
      fc.property(hash, fc.stringMatching(/^tk_[\w-]{8,43}$/), (ownerHash, token) => {
        const url = new URL(ticketUrl('https://b.example.com/x', ownerHash, token))
        assert.equal(url.pathname, `/x/view/${ownerHash}/vnc.html`)
        assert.equal(url.searchParams.get('ticket'), token)
        assert.equal(url.searchParams.get('path'), `view/${ownerHash}/websockify`)
        url.searchParams.delete('ticket')
        assert.equal(cleanViewPath('/x', ownerHash), decodeURIComponent(`${url.pathname}${url.search}`))
      }),
    )
  })
})
