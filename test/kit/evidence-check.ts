import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { placesIn, type Secret, type SecretKind, secretKinds } from './evidence-folder.ts'
import { createLeakSearch } from './leaks.ts'

export type Verdict = {
  /** `file:line: what it holds: the line, masked` */
  leaks: string[]
  /** Why the search has not searched enough to mean anything. */
  gaps: string[]
  logs: number
  lines: number
  secrets: number
}

/** What the logs of a whole run hold at least: about half of what they held when this was written. */
export const leastOfWhole = { logs: 10, lines: 500, secrets: 250 }

/**
 * Looks for every secret of a run, and for what looks like one, in all its logs and in what the tests have printed.
 * @param folder of the evidence
 * @param output of the test runner
 */
export function checkEvidence(folder: string, output: string): Verdict {
  const places = placesIn(folder)
  const secrets = readSecrets(places.secrets)
  const search = createLeakSearch(secrets)
  const logs = filesIn(places.logs).map(path => ({ name: relative(folder, path), text: readFileSync(path, 'utf8') }))
  const all = [...logs, { name: 'output of the tests', text: stripVTControlCharacters(output) }]
  const leaks = all.flatMap(({ name, text }) =>
    search(text).map(({ line, names, masked }) => `${name}:${line}: ${names.join(', ')}: ${masked}`),
  )
  const figures = {
    logs: logs.filter(({ text }) => text !== '').length,
    lines: logs.reduce((sum, { text }) => sum + text.split('\n').length - 1, 0),
    secrets: secrets.length,
  }
  const kinds = new Set(secrets.map(({ kind }) => kind))
  return { leaks, gaps: gapsOf(figures, kinds, existsSync(places.whole)), ...figures }
}

function gapsOf(figures: typeof leastOfWhole, kinds: ReadonlySet<SecretKind>, isWhole: boolean): string[] {
  // A single file may start nothing that writes a log. Where there is one, there were secrets to look for.
  const least = isWhole ? leastOfWhole : { logs: 0, lines: 0, secrets: figures.logs > 0 ? 1 : 0 }
  const missing = isWhole ? secretKinds.filter(kind => !kinds.has(kind)) : []
  return [
    ...(['logs', 'lines', 'secrets'] as const)
      .filter(name => figures[name] < least[name])
      .map(name => `only ${figures[name]} ${name}, at least ${least[name]} are expected`),
    ...missing.map(kind => `no ${kind} was noted`),
  ]
}

function readSecrets(folder: string): Secret[] {
  const lines = readdirSync(folder).flatMap(name => readFileSync(join(folder, name), 'utf8').split('\n').slice(0, -1))
  const secrets = lines.map(line => JSON.parse(line) as Secret)
  return [...new Map(secrets.map(secret => [secret.value, secret])).values()]
}

const filesIn = (folder: string): string[] =>
  (readdirSync(folder, { recursive: true }) as string[])
    .map(name => join(folder, name))
    .filter(path => statSync(path).isFile())
    .sort()
