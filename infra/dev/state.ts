import { linkSync, mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { isMissing, readJson, removeFile, writePrivateFile } from './files.ts'
import { identify, isAlive, type ProcessIdentity, processIdentity } from './process-identity.ts'

/** `.porthole/dev.json`: everything a script needs to work with the running stack. */
export const devInfo = z.object({
  gatewayUrl: z.string(),
  /** Of all gateways, the one above first. */
  gatewayUrls: z.array(z.string()),
  adminToken: z.string(),
  tenantToken: z.string(),
  databaseUrl: z.string(),
  hosts: z.array(
    z.object({
      id: z.string(),
      name: z.string(),
      url: z.string(),
      pid: z.number(),
      dockerHost: z.string(),
      /** Of a host that has a network namespace of its own: its name for `ip netns`. */
      netns: z.string().optional(),
    }),
  ),
  gatewayPids: z.array(z.number()),
  /** The first browser's live view, with its token: for a person. */
  viewUrl: z.string(),
  consoleUrl: z.string(),
})
export type DevInfo = z.infer<typeof devInfo>

/** `.porthole/run.json`: what a run that was killed may have left behind. */
export const runRecord = z.object({
  processes: z.array(processIdentity.extend({ role: z.string() })),
  hostIds: z.array(z.string()),
})
export type RunRecord = z.infer<typeof runRecord>

/** `.porthole/made-hosts.json`, which outlives a run. */
const madeHosts = z.array(z.string())

const emptyRecord: RunRecord = { processes: [], hostIds: [] }

export type State = ReturnType<typeof openState>

/** The files by which runs in one repo know of each other. */
export function openState(dir: string) {
  mkdirSync(dir, { recursive: true })
  const file = {
    lock: join(dir, 'up.lock'),
    dev: join(dir, 'dev.json'),
    run: join(dir, 'run.json'),
    made: join(dir, 'made-hosts.json'),
  }
  const readRun = () => readJson(file.run, runRecord) ?? emptyRecord
  const writeRun = (record: RunRecord) => writePrivateFile(file.run, JSON.stringify(record, null, 2))
  return {
    dir,
    readDev: () => readJson(file.dev, devInfo),
    writeDev: (info: DevInfo) => writePrivateFile(file.dev, `${JSON.stringify(info, null, 2)}\n`),
    removeDev: () => removeFile(file.dev),

    readRun,
    /** Remembers a process, in place of the one that had its role before. */
    recordProcess(role: string, pid: number) {
      const identity = identify(pid)
      const record = readRun()
      const others = record.processes.filter(process => process.role !== role)
      if (identity) writeRun({ ...record, processes: [...others, { role, ...identity }] })
    },
    recordHost(id: string) {
      const record = readRun()
      if (!record.hostIds.includes(id)) writeRun({ ...record, hostIds: [...record.hostIds, id] })
    },
    forgetRun: () => removeFile(file.run),
    /** Hosts that runs here have made and not taken out again: all that may be taken out. */
    readMadeHosts: () => readJson(file.made, madeHosts) ?? [],
    writeMadeHosts: (ids: readonly string[]) => writePrivateFile(file.made, JSON.stringify(ids)),

    /** The live process that holds this stack, or is starting it. */
    holder(): ProcessIdentity | undefined {
      const identity = readJson(file.lock, processIdentity)
      return identity && isAlive(identity) ? identity : undefined
    },
    /** Takes the stack for this process; false when a live one has it. */
    take: () => takeLock(file.lock),
    release() {
      if (readJson(file.lock, processIdentity)?.pid === process.pid) removeFile(file.lock)
    },
  }
}

/** A lock file appears with its content, by a link, so nobody reads one without its holder. */
function takeLock(path: string): boolean {
  const mine = `${path}.${process.pid}`
  removeFile(mine)
  writePrivateFile(mine, JSON.stringify(identify(process.pid)))
  try {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      if (tryLink(mine, path)) return true
      const holder = readJson(path, processIdentity)
      if (holder && isAlive(holder)) return false
      setAside(path, holder)
    }
    return false
  } finally {
    removeFile(mine)
  }
}

/** Removes a dead holder's lock; should another process have taken it over just now, gives it back. */
function setAside(path: string, dead: ProcessIdentity | undefined) {
  const aside = `${path}.${process.pid}.stale`
  try {
    renameSync(path, aside)
  } catch (error) {
    if (isMissing(error)) return
    throw error
  }
  const moved = readJson(aside, processIdentity)
  if (moved && moved.startedAt !== dead?.startedAt && isAlive(moved)) tryLink(aside, path)
  removeFile(aside)
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}
