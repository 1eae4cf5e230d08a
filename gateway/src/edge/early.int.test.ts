import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { it } from 'node:test'
import { freePort } from '../../../infra/dev/ports.ts'
import { freshDatabase } from '../../../test/kit/database.ts'
import { eventually } from '../../../test/kit/eventually.ts'
import { evidence } from '../../../test/kit/evidence.ts'
import { testLog } from '../../../test/kit/logs.ts'
import { parseConfig } from '../config.ts'
import { serve } from '../server.ts'

it('whoever connects as soon as a gateway listens is answered', { timeout: 60_000 }, async () => {
  const secret = evidence.remember('PORTHOLE_SECRET', 'a secret for early callers, long enough')
  const database = await freshDatabase()
  const port = await freePort('127.0.0.1')
  const starting = serve(
    parseConfig({ DATABASE_URL: database.url, PORTHOLE_SECRET: secret, PORT: String(port) }),
    testLog('gateway'),
  )
  const socket = await eventually(
    async () => {
      const attempt = net.connect(port, '127.0.0.1')
      await once(attempt, 'connect')
      return attempt
    },
    30_000,
    1,
  )
  const answer = once(socket, 'data', { signal: AbortSignal.timeout(15_000) })
  socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  try {
    assert.match(String((await answer)[0]), /^HTTP\/1\.1 200 /)
  } finally {
    socket.destroy()
    const gateway = await starting
    await gateway.close()
    await database.drop()
  }
})
