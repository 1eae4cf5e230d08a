import { getTableColumns, type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import { type RuntimeRow, runtimes } from './schema.ts'

/** Whether a column has one of many values, which go as one parameter: Postgres takes 65,535, and each costs a gateway time. */
export const isAnyOf = (column: SQLWrapper, values: readonly string[]): SQL =>
  sql`${column} = any(array(select json_array_elements_text(${JSON.stringify(values)}::text::json)))`

/** A row as the driver gives it: by names of columns. */
export type Raw = Record<string, unknown>

const columns = Object.entries(getTableColumns(runtimes))

/**
 * All columns by name, out of a row of that type where one is named. Never `*`: a statement that is kept fails once a newer
 * gateway has added a column.
 */
export const columnsOf = (row?: string): SQL =>
  sql.raw(columns.map(([, { name }]) => (row === undefined ? `"${name}"` : `("${row}")."${name}"`)).join(', '))

/** The runtime of a statement that is written by hand; drizzle decodes only those that it has built. */
export const decodeRuntime = (raw: Raw): RuntimeRow =>
  Object.fromEntries(
    columns.map(([key, column]) => {
      const value = raw[column.name]
      return [key, value === null || value === undefined ? null : column.mapFromDriverValue(value)]
    }),
  ) as RuntimeRow
