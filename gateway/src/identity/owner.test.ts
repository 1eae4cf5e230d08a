import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import vectors from '../../../test/vectors/source-behaviour.json' with { type: 'json' }
import { Problem } from '../problem.ts'
import { hashOwnerKey, type Mode, modes, type OwnerIds, ownerHashOf, ownerOf, resolveOwner } from './owner.ts'

type OwnerRow = (typeof vectors.resolve_isolation_owner)[number]

/** A row's ids as a request would give them; undefined where one is not a string, which the API's schema refuses. */
const idsOf = (row: OwnerRow): OwnerIds | undefined => {
  const { user_id: userId, session_id: sessionId } = (row.metadata ?? {}) as Record<string, unknown>
  const ids = { taskId: row.task_id, threadId: row.thread_id, userId, sessionId }
  const fits = Object.values(ids).every(id => id === undefined || id === null || typeof id === 'string')
  return fits ? (ids as OwnerIds) : undefined
}

describe('the original vectors', () => {
  for (const row of vectors.hash_runtime_owner)
    it(`hash ${JSON.stringify(row.owner ?? row.owner_escaped).slice(0, 40)}`, () => {
      if (row.owner === undefined) assert.throws(() => hashOwnerKey('\ud800'), RangeError)
      else assert.equal(hashOwnerKey(row.owner), row.expect)
    })

  for (const row of vectors.resolve_isolation_owner) {
    const ids = idsOf(row)
    if (ids)
      it(`owner of ${JSON.stringify(row)}`, () => {
        const owner = resolveOwner(row.mode as Mode, ids)
        assert.equal(owner, row.expect)
        assert.equal(hashOwnerKey(owner), row.owner_hash)
      })
  }

  it('covers every row whose ids are strings', () => {
    assert.equal(vectors.resolve_isolation_owner.filter(row => idsOf(row)).length, 14)
  })

  for (const { owner, owner_hash } of vectors.names)
    it(`tenant default in principal mode hashes ${owner} as the original did`, () => {
      assert.equal(ownerHashOf('default', 'docker-per-principal', owner), owner_hash)
    })
})

describe('ownerHashOf', () => {
  it('gives every tenant and mode its own hash of the same owner', () => {
    const hashes = ['default', 'acme'].flatMap(tenant => modes.map(mode => ownerHashOf(tenant, mode, 'alice')))
    assert.equal(new Set(hashes).size, 6)
  })
})

const faultOf = (run: () => unknown) => {
  try {
    run()
  } catch (error) {
    assert(error instanceof Problem)
    assert.equal(error.code, 'invalid-request')
    return error.extra.faults?.[0]?.pointer
  }
  return assert.fail('nothing was thrown')
}

describe('ownerOf', () => {
  it('gives everybody in shared mode the same owner', () => {
    assert.equal(ownerOf('shared', { userId: 'alice' }), ownerOf('shared', { taskId: 't1' }))
  })

  it('refuses task mode without a task id, and takes the default one by name', () => {
    for (const taskId of [undefined, null, '', '  \u0085 '])
      assert.equal(
        faultOf(() => ownerOf('docker-per-task', { taskId, userId: 'alice' })),
        '#/taskId',
      )
    assert.equal(ownerOf('docker-per-task', { taskId: 'default' }), 'default')
  })

  it('refuses owners with control characters, pointing at the field that decided', () => {
    assert.equal(
      faultOf(() => ownerOf('docker-per-principal', { userId: 'x\u0000y' })),
      '#/userId',
    )
    assert.equal(
      faultOf(() => ownerOf('docker-per-principal', { sessionId: 'a\u001fb' })),
      '#/sessionId',
    )
    assert.equal(
      faultOf(() => ownerOf('docker-per-task', { taskId: 'a\u0085b' })),
      '#/taskId',
    )
  })

  it('refuses a lone surrogate and more than 512 bytes', () => {
    assert.equal(
      faultOf(() => ownerOf('docker-per-principal', { userId: '\ud800' })),
      '#/userId',
    )
    assert.equal(
      faultOf(() => ownerOf('docker-per-principal', { threadId: 'é'.repeat(257) })),
      '#/threadId',
    )
    assert.equal(ownerOf('docker-per-principal', { threadId: 'é'.repeat(256) }).length, 256)
  })

  it('takes control characters that Python strips at the ends', () => {
    assert.equal(ownerOf('docker-per-principal', { userId: '\u001falice\u0085' }), 'alice')
  })
})
