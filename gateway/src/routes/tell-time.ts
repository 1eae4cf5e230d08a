import { timeHeader } from '@porthole/protocol'
import type { MiddlewareHandler } from 'hono'
import type { House } from '../house.ts'
import { lateHeader } from './late-header.ts'
import type { AppEnv } from './openapi.ts'

/** Says in the answer what time it is, whatever the answer is. */
export const tellTime =
  ({ now }: Pick<House, 'now'>): MiddlewareHandler<AppEnv> =>
  async (c, next) => {
    await next()
    lateHeader(c, timeHeader, String(Math.round(now())))
  }
