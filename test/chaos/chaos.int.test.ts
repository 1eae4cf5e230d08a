import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { connect, type Database } from '@porthole/db'
import { type Lab, labTimeout, noLab, startLab } from '../lab/kit.ts'
import { crowded, faults } from './faults.ts'
import { footprintOf } from './footprint.ts'
import { tellHistory } from './history.ts'
import { planOf, tellPlan } from './plan.ts'
import { runSchedule } from './schedule.ts'
import { makeStranger } from './stranger.ts'

/** A short schedule that every fault is in; `npm run chaos` runs long ones, with seeds of its own or a given one. */
const schedule = { seed: 164, seconds: 60, owners: 4, faults: faults.map(({ name }) => name) }

describe('three hosts and two gateways while everything breaks', { skip: noLab(), concurrency: false }, () => {
  let lab: Lab
  let database: Database
  before(
    async () => {
      lab = await startLab(crowded)
      database = connect(lab.databaseUrl, { max: 2 })
    },
    { timeout: labTimeout },
  )
  after(
    async () => {
      await database?.close(1)
      await lab?.close()
    },
    { timeout: 120_000 },
  )

  it('keep every promise, and leave nothing behind', { timeout: 420_000 }, async t => {
    const plan = planOf(schedule)
    assert.equal(new Set(plan.strikes.map(({ fault }) => fault)).size, faults.length, 'choose a seed with every fault')
    const strangerToken = await makeStranger(lab)
    const before = await footprintOf(lab)
    const tell = (line: string) => t.diagnostic(line)
    const { violations, history, quietMs } = await runSchedule(plan, {
      ...{ lab, strangerToken, before, tell },
      db: database.db,
    })
    t.diagnostic(
      `${history.entries.length} calls, ${history.strikes.length} faults, quiet after ${Math.round(quietMs)} ms`,
    )
    assert.deepEqual(
      violations,
      [],
      `seed ${plan.seed}; to do it again: npm run chaos -- --seed ${plan.seed} --seconds ${schedule.seconds} --owners ${schedule.owners}\n${tellPlan(plan)}\n${tellHistory(history, 60)}`,
    )
    // A schedule in which nothing went through, or nothing was compared, would show nothing.
    for (const operation of ['create', 'delete', 'drive', 'watch', 'spy'])
      assert(
        history.entries.some(entry => entry.operation === operation && entry.outcome === 'ok'),
        `no ${operation} went through`,
      )
    // Of the three that may end no runtime; on a slow machine one of them may find its hosts still busy with the one before.
    const kills = history.strikes.filter(({ fault }) =>
      ['kill a gateway', 'kill an agent', 'kill Postgres'].includes(fault),
    )
    const around = kills.filter(({ compared }) => (compared?.containers ?? 0) > 0).length
    assert(around >= 2, `containers were compared around ${around} of the three kills`)
    const views = history.strikes.reduce((sum, { compared }) => sum + (compared?.views ?? 0), 0)
    assert(views > 0, 'no view was compared')
    const { times = 0, waiting = 0 } = history.sampled ?? {}
    assert(times > schedule.seconds / 3, `rows were looked at ${times} times`)
    assert(waiting > 0 || history.entries.some(({ code }) => code === 'no-capacity'), 'there was room for everybody')
    const marks = history.entries.flatMap(({ mark }) => mark ?? [])
    assert(
      marks.some(({ found }) => found !== undefined),
      'no profile was looked into twice',
    )
    const done = history.entries.filter(({ outcome }) => outcome === 'ok').length
    assert(done > history.entries.length / 3, `${done} of ${history.entries.length} calls went through`)
  })
})
