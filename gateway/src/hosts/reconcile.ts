import {
  type Db,
  listForReconciling,
  listSettledFor,
  type RuntimeRow,
  recheck,
  toFailedStillHeld,
  toFound,
} from '@porthole/db'
import type { RuntimeFacts } from '@porthole/protocol'
import type { Logger } from 'pino'

/** A container, by the runtime it belongs to. */
export type ContainerName = { id: string; generation: number }

/** What a host is to do about the containers it has told of. */
export type Removals = {
  /** Of generations that are over: at once. */
  remove: ContainerName[]
  /** Of runtimes that nobody knows: when they have been named so for a minute (DESIGN section 6). */
  unknown: ContainerName[]
}

/**
 * Milliseconds for which a row must have said that it runs, before a host that does not have it is believed: longer than
 * from an agent's list of its containers to its comparison here, with a slow engine, a slow network and a slow database.
 */
const settledMs = 25_000
/** Milliseconds after its arrival for which an inventory is good to say that something is missing. */
const staleMs = 5000

/** States in which a container of the row's own generation has no business to be. */
const isOver = (row: RuntimeRow) =>
  row.state === 'stopped' || row.state === 'deleted' || (row.state === 'failed' && !row.reserved)

/** It waited for an owner, and the start that names them is on its way: that one removes what it does not take. */
const isAboutToBeGiven = (row: RuntimeRow, { generation, ownerHash }: RuntimeFacts) =>
  row.state === 'starting' && generation === row.generation - 1 && ownerHash !== row.ownerHash

/**
 * Compares what a host has, read without a fault, with what the rows say it should have, and moves what differs on.
 * Nothing here deletes: what is over is named to the host, by runtime and generation.
 *
 * @param ageMs milliseconds since the inventory arrived
 */
export const reconcile = async (
  db: Db,
  log: Logger,
  hostId: string,
  facts: RuntimeFacts[],
  ageMs: () => number,
): Promise<Removals> => {
  const rows = await listForReconciling(
    db,
    hostId,
    facts.map(({ id }) => id),
  )
  const byId = new Map(rows.map(row => [row.id, row]))
  const answer: Removals = { remove: [], unknown: [] }
  const told = new Set<string>()
  for (const fact of facts) {
    const { id, generation } = fact
    const row = byId.get(id)
    if (!row) answer.unknown.push({ id, generation })
    else if (isAboutToBeGiven(row, fact)) continue
    else if (generation < row.generation) answer.remove.push({ id, generation })
    else if (generation > row.generation || row.hostId !== hostId)
      // A row older than its container, or of another host, is a database that was set back: not ours to judge.
      log.error({ host: hostId, runtime: id, generation, row: row.generation }, 'a container is ahead of its row')
    else {
      told.add(id)
      if (isOver(row)) answer.remove.push({ id, generation })
      else if (!(await follow(db, log, row, fact))) answer.remove.push({ id, generation })
    }
  }
  await noteMissing(
    db,
    rows.filter(row => row.hostId === hostId && !told.has(row.id)),
    ageMs,
  )
  return answer
}

/** @returns false when the container may not stay */
const follow = async (db: Db, log: Logger, row: RuntimeRow, fact: RuntimeFacts): Promise<boolean> => {
  if (fact.state === 'exited') {
    if (row.state === 'running' || row.state === 'paused') await toFailedStillHeld(db, row, endedWith(fact))
    return row.state !== 'lost'
  }
  if (row.state === 'lost' && (fact.state === 'running' || fact.state === 'paused')) {
    const found = await toFound(db, row, fact.state)
    const isRefused = typeof found === 'string'
    if (found) log.info({ runtime: row.id, host: row.hostId, found: !isRefused }, 'lost runtime is back')
    return !isRefused
  }
  // Frozen or let go by somebody who had no say: the row's word counts.
  const isTurned = (row.state === 'running' || row.state === 'paused') && row.workUntil === null
  if (isTurned && fact.state !== 'starting' && fact.state !== row.state) await recheck(db, row)
  return true
}

const endedWith = ({ exitCode }: RuntimeFacts) => ({
  code: 'runtime-failed',
  detail: `its container ended with exit code ${exitCode ?? 'unknown'}`,
  ...(exitCode === undefined ? {} : { exitCode }),
})

/** Rows that should run here, and of which the host has nothing. */
const noteMissing = async (db: Db, rows: RuntimeRow[], ageMs: () => number) => {
  const running = rows.filter(({ state }) => state === 'running' || state === 'paused')
  // The host may have looked before the start was done.
  const settled = await listSettledFor(
    db,
    running.map(({ id }) => id),
    settledMs,
  )
  // What has waited for the database says nothing of now: the host tells all of it again within half a minute.
  if (ageMs() > staleMs) return
  for (const row of running) {
    if (!settled.has(row.id)) continue
    await toFailedStillHeld(db, row, { code: 'runtime-failed', detail: 'its container is gone' })
  }
}
