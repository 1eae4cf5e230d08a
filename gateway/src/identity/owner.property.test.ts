import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { pythonStrip } from '@porthole/protocol'
import fc from 'fast-check'
import { Problem } from '../problem.ts'
import { hashOwnerKey, isOwnerHash, maxOwnerBytes, modes, type OwnerIds, ownerHashOf, ownerOf } from './owner.ts'

const mode = fc.constantFrom(...modes)
const slug = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?$/)
const odd = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '\u001f',
    '\0',
    '\u00a0',
    '\ufeff',
    '\ud800',
    '\u0085',
    '\u007f',
    '__proto__',
    'default',
    'shared',
  ),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.string({ minLength: 200, maxLength: 600 }),
)
const id = fc.oneof(
  fc.array(odd, { maxLength: 3 }).map(parts => parts.join('')),
  fc.constant(null),
  fc.constant(undefined),
)
const ids = fc.record({ taskId: id, userId: id, sessionId: id, threadId: id }, { requiredKeys: [] })

/** The owner, or undefined where there is none for those ids. @throws what is no refusal */
const found = (of: (typeof modes)[number], ids: OwnerIds): string | undefined => {
  try {
    return ownerOf(of, ids)
  } catch (error) {
    assert(error instanceof Problem)
    assert.equal(error.code, 'invalid-request')
    assert.match(String(error.extra.faults?.[0]?.pointer), /^#\/(taskId|userId|sessionId|threadId)$/)
    return undefined
  }
}

describe('owners', () => {
  it('are names that can be keys, or a 400 that points at the field', () => {
    fc.assert(
      fc.property(mode, ids, (mode, ids) => {
        const owner = found(mode, ids)
        if (owner === undefined) return
        assert(owner.length > 0 && owner.isWellFormed())
        assert.doesNotMatch(owner, /\p{Cc}/u)
        assert(Buffer.byteLength(owner) <= maxOwnerBytes)
        assert(isOwnerHash(ownerHashOf('t', mode, owner)))
      }),
      { numRuns: 1000 },
    )
  })

  it('stay who they are when their name is given again', () => {
    fc.assert(
      fc.property(ids, ids => {
        for (const [mode, field] of [
          ['docker-per-task', 'taskId'],
          ['docker-per-principal', 'userId'],
        ] as const) {
          const owner = found(mode, ids)
          // A thread's id is not stripped, as in the original.
          if (owner !== undefined && pythonStrip(owner) === owner)
            assert.equal(ownerOf(mode, { [field]: owner }), owner)
        }
      }),
      { numRuns: 1000 },
    )
  })

  it('of other tenants, modes or names have other keys', () => {
    const place = fc.tuple(slug, mode, ids)
    fc.assert(
      fc.property(place, place, ([tenant, mode, ids], [otherTenant, otherMode, otherIds]) => {
        const [owner, other] = [found(mode, ids), found(otherMode, otherIds)]
        if (owner === undefined || other === undefined) return
        const isSame = tenant === otherTenant && mode === otherMode && owner === other
        assert.equal(ownerHashOf(tenant, mode, owner) === ownerHashOf(otherTenant, otherMode, other), isSame)
      }),
      { numRuns: 1000 },
    )
  })

  it('of the tenant default hash as the original did, and no other owner has such a key', () => {
    fc.assert(
      fc.property(slug, mode, ids, ids, (tenant, mode, ids, otherIds) => {
        const [owner, other] = [found('docker-per-principal', ids), found(mode, otherIds)]
        if (owner === undefined || other === undefined) return
        const original = hashOwnerKey(owner)
        assert.equal(ownerHashOf('default', 'docker-per-principal', owner), original)
        if (tenant !== 'default' || mode !== 'docker-per-principal')
          assert.notEqual(ownerHashOf(tenant, mode, other), original)
      }),
    )
  })
})
