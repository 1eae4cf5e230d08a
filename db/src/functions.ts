import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type postgres from 'postgres'
import { againAfterDeadlock } from './deadlock.ts'

/** A function in the database. Its name holds a digest of its text: gateways of another version call theirs. */
export type SqlFunction = { name: string; text: string }

/** @param called those that it calls, whose names are written into its text */
const read = (name: string, called: Record<string, SqlFunction> = {}): SqlFunction => {
  const written = readFileSync(new URL(`./functions/${name}.sql`, import.meta.url), 'utf8')
  const text = Object.entries(called).reduce(
    (text, [other, { name }]) => text.replaceAll(`porthole_${other}(`, `${name}(`),
    written,
  )
  const named = `porthole_${name}_${createHash('sha256').update(text).digest('hex').slice(0, 10)}`
  return { name: named, text: text.replace(`function porthole_${name}(`, `function ${named}(`) }
}

const room = read('room')
const start = read('start', { room })
const count = read('count')
const claim = read('claim', { count })
const adopt = read('adopt', { count, room })

/** What is done in one call: because it locks rows that many want, or is done for every start. */
export const functions = {
  ...{ count, room, start, claim, adopt },
  create: read('create', { adopt, claim, room }),
  run: read('run'),
}

/** Adds those that the database does not have yet. The caller holds the lock of migrations. */
export const addFunctions = async (client: postgres.Sql): Promise<void> => {
  for (const { name, text } of Object.values(functions)) {
    const [known] =
      await client`select from pg_proc where proname = ${name} and pronamespace = current_schema::regnamespace`
    if (!known) await client.unsafe(text)
  }
}

type Value = string | number | boolean | null

/**
 * A call of a function, whose answer comes as one JSON value: by columns, Postgres would plan some thirty of them each time, and
 * the driver take them apart. The text is the same each time and kept by each connection.
 *
 * @param count of its arguments
 */
export const callerOf = <Answer>({ name }: SqlFunction, count: number) => {
  const text = `select to_json(${name}(${Array.from({ length: count }, (_, n) => `$${n + 1}`).join(', ')})) as answer`
  return async (client: postgres.Sql, values: Value[]): Promise<Answer | undefined> => {
    // One that a deadlock has ended has done nothing.
    const [row] = await againAfterDeadlock(() => client.unsafe<{ answer: Answer }[]>(text, values, { prepare: true }))
    return row?.answer
  }
}
