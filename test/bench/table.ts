/** What a bench has found, for people. */
export type Table = {
  title: string
  /** What has to be known to read it, in a sentence. */
  note?: string
  columns: string[]
  rows: string[][]
}

const widthsOf = ({ columns, rows }: Table) =>
  columns.map((name, n) => Math.max(name.length, ...rows.map(row => row[n]?.length ?? 0)))

/** As Markdown; the columns stand below each other in plain text too. */
export const toMarkdown = (table: Table): string => {
  const widths = widthsOf(table)
  const line = (cells: string[]) =>
    `| ${widths.map((width, n) => (n === 0 ? (cells[n] ?? '').padEnd(width) : (cells[n] ?? '').padStart(width))).join(' | ')} |`
  const rule = `| ${widths.map((width, n) => (n === 0 ? '-'.repeat(width) : `${'-'.repeat(Math.max(1, width - 1))}:`)).join(' | ')} |`
  return [
    `#### ${table.title}`,
    '',
    ...(table.note ? [table.note, ''] : []),
    line(table.columns),
    rule,
    ...table.rows.map(line),
  ].join('\n')
}
