import { findHost, recordHeartbeat } from '@porthole/db'
import { heartbeat, heartbeatAudience, maxLifetimeSeconds } from '@porthole/protocol'
import { importJWK, jwtVerify } from 'jose'
import { reconcile } from '../hosts/reconcile.ts'
import type { House } from '../house.ts'
import { Problem } from '../problem.ts'
import { bearerOf } from '../tokens/caller.ts'
import { createRouter } from './openapi.ts'

const heartbeatMs = 5000

/** `POST /v1/hosts/:id/heartbeat`, for agents: how a host is, and what it is to do about what it has. */
export const heartbeatRoutes = (house: House) => {
  const app = createRouter()
  const { db } = house.database

  /** @throws Problem `unauthorized` unless the token was signed by this host, for us, just now. */
  const checkHost = async (id: string, authorization: string | undefined) => {
    const token = bearerOf(authorization)
    const host = await findHost(db, id)
    // In the same words as for a token that does not hold: nobody learns which hosts there are.
    const refuse = (cause?: unknown) =>
      new Problem('unauthorized', { detail: 'there is no such host, or the token is not its own', cause })
    if (!token || !host) throw refuse()
    try {
      const key = await importJWK({ kty: 'OKP', crv: 'Ed25519', x: host.publicKey }, 'EdDSA')
      await jwtVerify(token, key, {
        issuer: id,
        audience: heartbeatAudience,
        algorithms: ['EdDSA'],
        maxTokenAge: maxLifetimeSeconds,
        // Hosts' clocks stray; the time of a heartbeat itself is the database's.
        clockTolerance: 30,
      })
    } catch (cause) {
      throw refuse(cause)
    }
  }

  app.post('/v1/hosts/:id/heartbeat', async c => {
    const id = c.req.param('id')
    await checkHost(id, c.req.header('authorization'))
    const parsed = heartbeat.safeParse(await c.req.json().catch(() => undefined))
    if (!parsed.success) throw new Problem('invalid-request', { detail: 'the heartbeat does not fit its schema' })
    const { capacity, load, diskFreeBytes = null, engineVersion, images, labels, runtimes } = parsed.data
    const said = { ...capacity, load, diskFreeBytes, engineVersion, images, labels }
    // Null is a fault on the host, absent is nothing new: neither says that anything is gone. Before the host counts as
    // live again: what it still has keeps its room, ahead of those who wait for some.
    const removals = runtimes ? await reconcile(db, house.log, id, runtimes) : {}
    const isMember = await recordHeartbeat(db, id, said)
    if (!isMember) throw new Problem('unauthorized', { detail: 'the host was removed' })
    return c.json({ nextMs: heartbeatMs, ...removals })
  })

  return app
}
