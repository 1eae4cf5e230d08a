import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { addIssuer, addToken, connect, migrate, putTenant, removeIssuer, revokeToken, updateTenant } from '@porthole/db'
import { freshDatabase } from '../../../test/kit/database.ts'
import { eventually } from '../../../test/kit/eventually.ts'
import { testLog } from '../../../test/kit/logs.ts'
import { watchAccess } from './access.ts'

test('who revokes or suspends has nobody’s keys looked at again; who changes an issuer does', async t => {
  const fresh = await freshDatabase()
  const database = connect(fresh.url)
  t.after(async () => {
    await database.close()
    await fresh.drop()
  })
  await migrate(fresh.url)
  const { db } = database
  await putTenant(db, { slug: 'acme', mode: 'shared' })
  const token = { id: randomUUID(), tenant: 'acme', subject: 'a', scopes: [], owner: null, mode: null, parent: null }
  await addToken(db, token, 3600)
  const access = await watchAccess(database, testLog('access'), Date.now)
  t.after(() => access.close())
  const heard: boolean[] = []
  access.onChange(({ keys }) => void heard.push(keys))
  const next = async () => {
    await eventually(() => assert(heard.length > 0))
    return heard.shift()
  }
  await revokeToken(db, 'acme', undefined, token.id)
  // Who begins to listen may have missed anything, and says so first.
  while ((await next()) !== false);
  assert(access.isRevoked(token.id))
  // Of which nobody hears: it is the suspension that comes next, and once.
  await revokeToken(db, 'acme', undefined, token.id)
  await removeIssuer(db, 'acme', 'iss_none')
  await updateTenant(db, 'acme', { suspended: true })
  assert.equal(await next(), false)
  assert(access.isSuspended('acme'))

  const issuer = { id: 'iss_1', tenant: 'acme', issuer: 'https://i.example', jwksUrl: 'https://i.example/jwks' }
  await addIssuer(db, { ...issuer, audience: 'a', algorithms: ['ES256'], claims: { scopes: [] } })
  assert.equal(await next(), true)
  await removeIssuer(db, 'acme', 'iss_1')
  assert.equal(await next(), true)
  // Of a version that says no more than that.
  await db.execute(`notify porthole_access, 'acme'`)
  assert.equal(await next(), true)
  assert.deepEqual(heard, [])
})
