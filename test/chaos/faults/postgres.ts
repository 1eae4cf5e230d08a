import type { Fault } from '../fault.ts'
import { struck } from './mending.ts'

export const killPostgres: Fault = {
  name: 'kill Postgres',
  async strike({ postgres }) {
    if (!postgres) throw new Error('this lab has no Postgres of its own: start it with ownPostgres')
    await postgres.kill()
    return struck('Postgres', {}, postgres.restart)
  },
}
