import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Explained, tell } from '../infra/dev/explained.ts'
import { stopSignals } from '../infra/dev/signals.ts'
import type { Bench } from './bench/bench.ts'
import { stolenSeconds } from './bench/cpu.ts'
import { edge } from './bench/edge/edge.ts'
import { loadNow, toSection, writeSection } from './bench/report.ts'
import { scale } from './bench/scale/scale.ts'
import { start } from './bench/start/start.ts'
import { type Table, toMarkdown } from './bench/table.ts'
import { readRunnerConfig } from './kit/config.ts'

// npm run bench -- <name> [--quick] [--only part,…] [--no-write]: measures, prints the tables, and writes them to docs/BENCH.md.
// Tables go to standard output, what is going on to standard error.
const benches: readonly Bench[] = [scale, edge, start]

const usage = `usage: npm run bench -- <name> [--quick] [--only <part>,…] [--no-write]

${benches.map(({ name, what, parts }) => `  ${name.padEnd(10)} ${what}; parts: ${parts.join(', ')}`).join('\n')}

--quick shows in a few minutes that a bench works. With it, and with --only, nothing is written, as with --no-write.`

const say = (text: string) => void process.stderr.write(`${text}\n`)
const { stop } = stopSignals(say)

process.exitCode = await run().catch(error => {
  if (!stop.aborted) say(tell(error, readRunnerConfig().verbose))
  return 1
})
process.exit()

async function run(): Promise<number> {
  const { values, positionals } = parseArgs({
    args: process.argv.slice(2),
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      'no-write': { type: 'boolean', default: false },
    },
    allowPositionals: true,
  })
  const chosen = benches.filter(({ name }) => positionals.includes(name))
  const unknown = positionals.filter(word => !benches.some(({ name }) => name === word))
  if (chosen.length === 0 || unknown.length > 0)
    throw new Explained(unknown.length > 0 ? `There is no bench ${unknown.join(', ')}.\n\n${usage}` : usage)
  const only = values.only?.split(',')
  const strange = only?.filter(part => !chosen.some(({ parts }) => parts.includes(part))) ?? []
  if (strange.length > 0) throw new Explained(`There is no part ${strange.join(', ')}.\n\n${usage}`)
  const isWritten = !values.quick && !only && !values['no-write']
  for (const bench of chosen) {
    const loadBefore = loadNow()
    const stolenBefore = stolenSeconds()
    const startedAt = Date.now()
    const note = (what: string) => say(`${((Date.now() - startedAt) / 1000).toFixed(0).padStart(5)} s  ${what}`)
    const tables: Table[] = []
    for await (const table of bench.run({ quick: values.quick, only, tell: note, signal: stop })) {
      tables.push(table)
      // What comes after it may fail, and takes long.
      process.stdout.write(`${toMarkdown(table)}\n\n`)
    }
    const stolen = (stolenSeconds() - stolenBefore) / (((Date.now() - startedAt) / 1000) * cpus().length)
    const section = toSection(tables, { when: new Date(), loadBefore, stolen })
    process.stdout.write(`${section.split('\n', 1)[0]}\n`)
    if (isWritten) writeSection(join(import.meta.dirname, '../docs/BENCH.md'), bench, section)
  }
  return 0
}
