import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type postgres from 'postgres'

/** A function in the database. Its name holds a digest of its text: gateways of another version call theirs. */
export type SqlFunction = { name: string; text: string }

const read = (name: string): SqlFunction => {
  const text = readFileSync(new URL(`./functions/${name}.sql`, import.meta.url), 'utf8')
  const named = `porthole_${name}_${createHash('sha256').update(text).digest('hex').slice(0, 10)}`
  return { name: named, text: text.replace(`function porthole_${name}(`, `function ${named}(`) }
}

/** What is done in one call, because it locks rows that many want. */
export const functions = { start: read('start'), claim: read('claim') }

/** Adds those that the database does not have yet. The caller holds the lock of migrations. */
export const addFunctions = async (client: postgres.Sql): Promise<void> => {
  for (const { name, text } of Object.values(functions)) {
    const [known] =
      await client`select from pg_proc where proname = ${name} and pronamespace = current_schema::regnamespace`
    if (!known) await client.unsafe(text)
  }
}
