import { ping } from '@porthole/db'
import type { House } from '../house.ts'
import { createRouter } from './openapi.ts'

const deadlineMs = 2000

export const healthRoutes = (house: House) => {
  const app = createRouter()
  /** One query for all who ask at the same time: anybody may. */
  let looking: Promise<boolean> | undefined
  const look = (): Promise<boolean> => {
    if (looking) return looking
    const mine = ping(house.database.db).then(
      () => true,
      () => false,
    )
    const forget = () => {
      if (looking === mine) looking = undefined
      clearTimeout(timer)
    }
    // One that never ends must not speak for those that come after it.
    const timer = setTimeout(forget, deadlineMs)
    looking = mine
    void mine.then(forget)
    return mine
  }
  app.get('/healthz', c => c.json({ status: 'ok' }))
  app.get('/readyz', async c => {
    // The query itself cannot be cut short; the answer can.
    const isReady = await Promise.race([
      look(),
      new Promise<boolean>(resolve => setTimeout(resolve, deadlineMs, false).unref()),
    ])
    return isReady ? c.json({ status: 'ready' }) : c.json({ status: 'the database does not answer' }, 503)
  })
  app.get('/.well-known/jwks.json', c => c.json(house.issuer.jwks(), 200, { 'cache-control': 'max-age=60' }))
  return app
}
