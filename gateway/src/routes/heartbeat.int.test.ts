import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  claimOwner,
  connect,
  type Database,
  findHost,
  findRuntimeById,
  migrate,
  putTenant,
  type RuntimeRow,
  startOn,
  toRunning,
} from '@porthole/db'
import { addHost, wanted } from '@porthole/db/testing'
import type { Heartbeat } from '@porthole/protocol'
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { freshDatabase } from '../../../test/kit/database.ts'
import { evidence } from '../../../test/kit/evidence.ts'
import { testLog } from '../../../test/kit/logs.ts'
import { parseConfig } from '../config.ts'
import { type Gateway, serve } from '../server.ts'

const secret = evidence.remember('PORTHOLE_SECRET', 'a secret of the heartbeats, long enough')

describe('heartbeats at a gateway', { concurrency: false }, () => {
  let fresh: Awaited<ReturnType<typeof freshDatabase>>
  let database: Database
  let gateways: Gateway[]
  let privateKey: CryptoKey
  let token: string
  let row: RuntimeRow

  before(async () => {
    fresh = await freshDatabase()
    await migrate(fresh.url)
    database = connect(fresh.url, { max: 4 })
    const config = parseConfig({ DATABASE_URL: fresh.url, PORTHOLE_SECRET: secret, PORT: '0' })
    gateways = await Promise.all(['gateway-1', 'gateway-2'].map(name => serve(config, testLog(name))))
    const keys = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true })
    privateKey = keys.privateKey
    await addHost(database.db, 'h1', 10, { publicKey: String((await exportJWK(keys.publicKey)).x) })
    await putTenant(database.db, { slug: 'default', mode: 'docker-per-principal' })
    const claimed = (await claimOwner(database.db, wanted('alice'), 60_000)) ?? assert.fail()
    const started = await startOn(database.db, claimed.row, 'h1', 60_000)
    assert(typeof started === 'object')
    row = (await toRunning(database.db, started)) ?? assert.fail()
    // Long enough for a host that does not have it to be believed.
    await database.db.execute(`update runtimes set state_at = now() - interval '1 minute'`)
    token = await sign()
  })
  after(async () => {
    await Promise.all(gateways.map(gateway => gateway.close()))
    await database.close()
    await fresh.drop()
  })

  const sign = async () =>
    evidence.remember(
      'bearer token',
      await new SignJWT()
        .setProtectedHeader({ alg: 'EdDSA' })
        .setIssuer('h1')
        .setAudience('porthole-gateway')
        .setIssuedAt()
        .setExpirationTime('60s')
        .sign(privateKey),
    )
  const beat = async (n: number, more: Partial<Heartbeat>) => {
    const said: Heartbeat = {
      capacity: { memoryBytes: 1e12, cpuMillis: 100_000, slots: 10, gpus: 0 },
      ...{ load: 0, engineVersion: '1', images: [], labels: {} },
      ...more,
    }
    const answer = await fetch(`${gateways[n]?.url}/v1/hosts/h1/heartbeat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: JSON.stringify(said),
    })
    return { status: answer.status, body: await answer.json() }
  }
  const has = () => [{ id: row.id, generation: row.generation, ownerHash: row.ownerHash, state: 'running' as const }]
  const stateNow = async () => (await findRuntimeById(database.db, row.id))?.state

  it('with one token, again and again, at either of them', async () => {
    for (const n of [0, 1, 0])
      assert.deepEqual(await beat(n, { runtimes: has() }), {
        status: 200,
        body: { nextMs: 5000, remove: [], unknown: [] },
      })
    assert.deepEqual(await beat(1, { revision: 'x' }), { status: 200, body: { nextMs: 5000 } })
    assert.equal((await findHost(database.db, 'h1'))?.live, true)
  })

  it('of a host that was removed a moment ago by anybody are refused, though its token is known, and move nothing', async () => {
    await database.db.execute(`update hosts set removed_at = now(), last_seen_at = null`)
    for (const n of [0, 1]) {
      assert.equal((await beat(n, { runtimes: [] })).status, 401)
      assert.equal((await beat(n, { revision: 'x' })).status, 401)
    }
    assert.equal(await stateNow(), 'running')
    const [{ last_seen_at: seen } = { last_seen_at: 1 }] = await database.db.execute('select last_seen_at from hosts')
    assert.equal(seen, null)
  })

  it('are taken again once it has joined again, and compared with what it should have', async () => {
    await database.db.execute(`update hosts set removed_at = null`)
    const unknown = { ...has()[0], id: `rt_${'0'.repeat(26)}`, generation: 3 } as NonNullable<
      Heartbeat['runtimes']
    >[number]
    assert.deepEqual((await beat(0, { runtimes: [...has(), unknown] })).body, {
      nextMs: 5000,
      remove: [],
      unknown: [{ id: unknown.id, generation: 3 }],
    })
    assert.equal(await stateNow(), 'running')
    await beat(1, { runtimes: null })
    assert.equal(await stateNow(), 'running')
    await beat(1, { runtimes: [] })
    assert.equal(await stateNow(), 'failed')
  })
})
