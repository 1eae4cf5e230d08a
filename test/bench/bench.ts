import type { Table } from './table.ts'

/** What every bench is given. */
export type BenchOptions = {
  /** Shows in a minute or two that it works; its figures say little. */
  quick: boolean
  /** Parts of it, by their names; undefined: all. */
  only: readonly string[] | undefined
  /** Says what is being measured. */
  tell(what: string): void
  /** Ends it early. */
  signal: AbortSignal
}

/** Something that `npm run bench -- <name>` measures. */
export type Bench = {
  name: string
  /** For the list of benches, in a line. */
  what: string
  /** What `only` may name. */
  parts: readonly string[]
  /** Gives each table once it is measured: what comes after it may fail. */
  run(options: BenchOptions): AsyncIterable<Table>
}
