import { appendFileSync, mkdirSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { evidenceFolder } from './config.ts'
import { createEvidenceFolder, placesIn, type Secret, type SecretKind } from './evidence-folder.ts'

/** Shorter ones (`x`, `forged`, a port) stand in every log, as words. The agent masks from the same length on. */
export const leastSecretLength = 8

export type Evidence = {
  folder: string
  /** Notes a secret, as it is: it has to be looked for. Gives it back. */
  remember<T extends string | null | undefined>(kind: SecretKind, value: T): T
  /** What this process has noted until now. */
  known(): Secret[]
  /** A file for a log of this name, which nobody else has. */
  logFile(name: string): string
  /** A folder for the logs of processes. */
  logFolder(name: string): string
}

/** @param who tells this process from all others of the run; @param from the test file */
export function openEvidence(folder: string, who: string, from: string): Evidence {
  const { logs, secrets } = placesIn(folder)
  const known = new Map<string, Secret>()
  let made = 0
  const place = (name: string) => join(logs, `${from}-${who}-${made++}-${name}`)
  return {
    folder,
    remember(kind, value) {
      if (!value || value.length < leastSecretLength || known.has(value)) return value
      const secret: Secret = { kind, from, value }
      known.set(value, secret)
      appendFileSync(join(secrets, `${who}.jsonl`), `${JSON.stringify(secret)}\n`, { mode: 0o600 })
      return value
    },
    known: () => [...known.values()],
    logFile: name => `${place(name)}.log`,
    logFolder(name) {
      const path = place(name)
      mkdirSync(path, { mode: 0o700 })
      return path
    },
  }
}

/** The folder of the run; a test that is started by hand has one for itself, which goes when it ends. */
function folderOfRun(): string {
  const folder = evidenceFolder()
  if (folder) return folder
  const own = createEvidenceFolder(false)
  process.once('exit', () => rmSync(own, { recursive: true, force: true }))
  return own
}

/** Of this process. A test file is a process, and everything in it writes to one record. */
export const evidence: Evidence = openEvidence(
  folderOfRun(),
  String(process.pid),
  basename(process.argv[1] ?? 'none').replace(/(\.int)?\.test\.ts$/, ''),
)
