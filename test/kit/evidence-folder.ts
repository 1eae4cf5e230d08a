import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What must be in no log. A whole run has seen each of them, or the check of its logs has checked less than it says. */
export const secretKinds = [
  'PORTHOLE_SECRET',
  'database password',
  'bearer token',
  'hop token',
  'join token',
  'ticket',
  'cookie',
  'container key',
  'request env',
  'host key',
] as const
export type SecretKind = (typeof secretKinds)[number]

/** A secret that a test used or was given, and the test file it was in. */
export type Secret = { kind: SecretKind; from: string; value: string }

/** What a folder of evidence holds. */
export const placesIn = (folder: string) => ({
  logs: join(folder, 'logs'),
  secrets: join(folder, 'secrets'),
  /** There when the run is a whole one. */
  whole: join(folder, 'whole'),
})

/** A folder for one run, which only this user can read. @param whole every test is run */
export function createEvidenceFolder(whole: boolean): string {
  const folder = mkdtempSync(join(tmpdir(), 'porthole-evidence-'))
  const places = placesIn(folder)
  for (const place of [places.logs, places.secrets]) mkdirSync(place, { mode: 0o700 })
  if (whole) writeFileSync(places.whole, '')
  return folder
}
