import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { sql } from 'drizzle-orm'
import { freshDatabase } from '../../test/kit/database.ts'
import { connect, type Database } from './connect.ts'
import { migrate } from './migrate.ts'
import {
  addJoinToken,
  addTicket,
  claimIdempotencyKey,
  dropExpired,
  dropIdempotencyKey,
  keepIdempotentAnswer,
  takeJoinToken,
  takeTicket,
} from './one-time.ts'
import { claimOwner } from './runtimes.ts'
import { tickets } from './schema.ts'
import { addFirstSigningKey } from './signing-keys.ts'
import { putTenant } from './tenants.ts'
import { wanted } from './testing.ts'

describe('one-time credentials', () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  let ticket: Parameters<typeof addTicket>[2]

  before(async () => {
    fresh = await freshDatabase()
    await migrate(fresh.url)
    database = connect(fresh.url)
    await putTenant(database.db, { slug: 'default', mode: 'shared' })
    const claimed = await claimOwner(database.db, wanted('alice'), 1000)
    assert(claimed)
    const { id, ownerHash } = claimed.row
    ticket = {
      tenant: 'default',
      runtimeId: id,
      ownerHash,
      access: 'control',
      subject: 's',
      tokenId: null,
      issuerId: null,
      goodUntil: new Date(Date.now() + 60_000),
    }
  })
  after(async () => {
    await database.close()
    await fresh.drop()
  })

  it('a ticket is good for one of ten who come at once', async () => {
    await addTicket(database.db, 'tk_one', ticket, 60)
    const takers = Array.from({ length: 10 }, () => takeTicket(database.db, 'tk_one', ticket.ownerHash))
    assert.equal((await Promise.all(takers)).filter(Boolean).length, 1)
  })

  it('a ticket of another runtime, and one whose time is over, are refused', async () => {
    await addTicket(database.db, 'tk_two', ticket, 60)
    assert.equal(await takeTicket(database.db, 'tk_two', 'ffffffffffffffff'), undefined)
    await addTicket(database.db, 'tk_three', ticket, -1)
    assert.equal(await takeTicket(database.db, 'tk_three', ticket.ownerHash), undefined)
  })

  it('what the database keeps does not hold the token', async () => {
    await addTicket(database.db, 'tk_four', ticket, 60)
    assert(!JSON.stringify(await database.db.select().from(tickets)).includes('tk_four'))
  })

  it('a join token is good once', async () => {
    await addJoinToken(database.db, 'jt_one', 'operator', 60)
    const takers = await Promise.all([1, 2, 3].map(() => takeJoinToken(database.db, 'jt_one')))
    assert.equal(takers.filter(Boolean).length, 1)
    await addJoinToken(database.db, 'jt_two', 'operator', -1)
    assert.equal(await takeJoinToken(database.db, 'jt_two'), false)
  })

  it('an idempotency key has one first request, and then its answer', async () => {
    const claims = await Promise.all([1, 2, 3].map(() => claimIdempotencyKey(database.db, 'k', 'request')))
    assert.deepEqual(claims.map(({ kind }) => kind).toSorted(), ['at-work', 'at-work', 'first'])
    const first = claims.find(({ kind }) => kind === 'first')
    assert(first?.kind === 'first')
    await keepIdempotentAnswer(database.db, { digest: 'k', claim: first.claim }, 201, { id: 'rt_1' })
    assert.deepEqual(await claimIdempotencyKey(database.db, 'k', 'request'), {
      kind: 'done',
      status: 201,
      body: { id: 'rt_1' },
    })
    assert.equal((await claimIdempotencyKey(database.db, 'k', 'another')).kind, 'mismatch')
  })

  it('an idempotency key whose request died is free after ten minutes', async () => {
    assert.equal((await claimIdempotencyKey(database.db, 'dead', 'request')).kind, 'first')
    await database.db.execute(
      sql`update idempotency_keys set created_at = now() - interval '11 minutes' where digest = 'dead'`,
    )
    assert.equal((await claimIdempotencyKey(database.db, 'dead', 'request')).kind, 'first')
  })

  it('a request that may take less is given up sooner', async () => {
    const claim = () => claimIdempotencyKey(database.db, 'short', 'request', 75)
    assert.equal((await claim()).kind, 'first')
    const age = (seconds: number) =>
      database.db.execute(
        sql`update idempotency_keys set created_at = now() - ${seconds}::int * interval '1 second' where digest = 'short'`,
      )
    await age(70)
    assert.equal((await claim()).kind, 'at-work')
    await age(80)
    assert.equal((await claim()).kind, 'first')
  })

  it('an attempt whose claim was given up neither answers for the next one nor frees its key', async () => {
    const late = await claimIdempotencyKey(database.db, 'late', 'request')
    assert(late.kind === 'first')
    await database.db.execute(
      sql`update idempotency_keys set created_at = now() - interval '11 minutes' where digest = 'late'`,
    )
    const next = await claimIdempotencyKey(database.db, 'late', 'request')
    assert(next.kind === 'first')
    await keepIdempotentAnswer(database.db, { digest: 'late', claim: late.claim }, 201, { id: 'rt_late' })
    await dropIdempotencyKey(database.db, { digest: 'late', claim: late.claim })
    assert.deepEqual(await claimIdempotencyKey(database.db, 'late', 'request'), { kind: 'at-work' })
  })

  it('what has expired is removed', async () => {
    await addTicket(database.db, 'tk_old', ticket, -1)
    const count = () => database.db.$count(tickets)
    const all = await count()
    await dropExpired(database.db)
    assert((await count()) < all)
  })

  it('gateways that start together agree on the first signing key', async () => {
    const made = await Promise.all(
      ['a', 'b', 'c'].map(kid => addFirstSigningKey(database.db, { kid, publicKey: kid, sealedPrivateKey: kid })),
    )
    assert.equal(new Set(made.map(rows => rows.map(row => row.kid).join())).size, 1)
  })
})
