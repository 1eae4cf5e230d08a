import { connect, type Database, migrate } from '@porthole/db'
import { freshDatabase } from './database.ts'

/** A database of its own with all tables. `end` closes what is connected to it, and drops it. @param max connections */
export const migratedDatabase = async (max = 10): Promise<Pick<Database, 'db'> & { end(): Promise<void> }> => {
  const fresh = await freshDatabase()
  await migrate(fresh.url)
  const database = connect(fresh.url, { max })
  return {
    db: database.db,
    end: async () => {
      await database.close()
      await fresh.drop()
    },
  }
}
