import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { connect } from '@porthole/db'
import { startLab } from '../lab/kit.ts'
import { crowded, faults, warm } from './faults.ts'
import { footprintOf } from './footprint.ts'
import { tellHistory } from './history.ts'
import { parseChaos, wordsOf } from './options.ts'
import { planOf, tellPlan } from './plan.ts'
import { putBetween, type Ran, reportOf, tellViolations } from './report.ts'
import { runSchedule } from './schedule.ts'
import { makeStranger } from './stranger.ts'

// The schedules of `npm run chaos`, in the world that test/chaos.ts has prepared.
const names = faults.map(({ name }) => name)
const request = parseChaos(process.argv.slice(2), names, () => Math.floor(Math.random() * 2 ** 31))
if (request.kind !== 'run') throw new Error('test/chaos.ts has checked the options')
const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort())

const say = (line: string) => void process.stdout.write(`${line}\n`)
const runs: Ran[] = []

const lab = await startLab(request.warm ? warm : crowded)
const database = connect(lab.databaseUrl, { max: 2 })
try {
  const strangerToken = await makeStranger(lab)
  // Of the first schedule: what leaks slowly shows after many.
  const before = await footprintOf(lab)
  const stage = { lab, db: database.db, strangerToken, before, tell: say, signal: stopping.signal }
  const startedAt = performance.now()
  const isTime = () => (performance.now() - startedAt) / 1000 < (request.forSeconds ?? 0)
  do {
    const seed = request.seed + runs.length
    say(`seed ${seed}`)
    const plan = planOf({ ...request, seed })
    const ran = { seed, ...(await runSchedule(plan, stage)) }
    runs.push(ran)
    const done = ran.history.entries.filter(({ outcome }) => outcome === 'ok').length
    say(`  ${done} of ${ran.history.entries.length} calls done, ${ran.violations.length} promises broken`)
    if (ran.violations.length > 0) {
      say(tellViolations([ran]).join('\n'))
      say(tellPlan(plan))
      say(tellHistory(ran.history, 80))
      say(`again: npm run chaos -- ${wordsOf({ ...request, seed }, names)}`)
      // What is wrong now would be wrong in every schedule that follows.
      break
    }
  } while (isTime() && !stopping.signal.aborted)
} catch (error) {
  if (!stopping.signal.aborted) throw error
} finally {
  await database.close(1)
  await lab.close()
}
if (stopping.signal.aborted && runs.length === 0) process.exit(130)

const report = reportOf(runs, request.faults)
say(`\n${report}`)
if (request.write) {
  const file = join(import.meta.dirname, '../../docs/RELIABILITY.md')
  const machine = `${new Date().toISOString().slice(0, 10)}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, schedules of ${request.seconds} s with ${request.owners} owners.`
  writeFileSync(file, putBetween(readFileSync(file, 'utf8'), `${machine} ${report}`))
}
process.exit(tellViolations(runs).length > 0 ? 1 : 0)
