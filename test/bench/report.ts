import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'
import type { Bench } from './bench.ts'
import { type Table, toMarkdown } from './table.ts'

/** The machine as far as figures depend on it. */
export const describeMachine = (): string => {
  const all = cpus()
  const gib = (totalmem() / 2 ** 30).toFixed(1)
  return `${all.length} × ${all[0]?.model.trim() ?? 'unknown'}, ${gib} GiB, Linux ${release()}, Node ${process.versions.node}`
}

/** How many other things the machine did when the bench began. */
export const loadNow = (): number => loadavg()[0] ?? 0

/** What the machine had to do besides. */
export type Circumstances = {
  when: Date
  /** Load average before it began. */
  loadBefore: number
  /** How much of its processors' time other guests of the same host have had meanwhile, 0 to 1. */
  stolen: number
}

/** A bench's section: where and when, and its tables. */
export const toSection = (tables: readonly Table[], { when, loadBefore, stolen }: Circumstances): string =>
  [
    `${when.toISOString().slice(0, 10)}, ${describeMachine()}. Load average before it began: ${loadBefore.toFixed(1)}; time stolen by other guests: ${(100 * stolen).toFixed(0)}%.`,
    ...tables.map(toMarkdown),
  ].join('\n\n')

const marker = (name: string, end: string) => `<!-- bench ${name}: ${end} -->`

/** The text with what stands between the bench's markers replaced. @throws Error when it has no such place */
export const withSection = (text: string, { name }: Pick<Bench, 'name'>, section: string): string => {
  const begin = text.indexOf(marker(name, 'begin'))
  const end = text.indexOf(marker(name, 'end'))
  if (begin < 0 || end < begin)
    throw new Error(
      `there is no place for ${name}: put ${marker(name, 'begin')} and ${marker(name, 'end')} where it is to stand`,
    )
  return `${text.slice(0, begin)}${marker(name, 'begin')}\n\n${section}\n\n${text.slice(end)}`
}

/** Writes a bench's section into a document. @throws Error when the document has no place for it */
export const writeSection = (path: string, bench: Pick<Bench, 'name'>, section: string): void =>
  writeFileSync(path, withSection(readFileSync(path, 'utf8'), bench, section))
