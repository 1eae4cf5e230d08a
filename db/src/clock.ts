import { sql } from 'drizzle-orm'
import type { Tx } from './connect.ts'

/** What time it is for the database, in milliseconds since the epoch, when it reads the question. */
export const readClock = async (db: Tx): Promise<number> => {
  const [row] = await db.execute<{ ms: number }>(
    sql`select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms`,
  )
  if (typeof row?.ms !== 'number') throw new Error('the database did not say what time it is')
  return row.ms
}
