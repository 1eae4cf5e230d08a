import { createHash } from 'node:crypto'
import { type Config, modelNames, withPersonal } from './config.ts'
import type { Fault } from './problem.ts'

/** What a runtime that was started before it had an owner learns of that owner. */
export type PersonalSettings = { env: Readonly<Record<string, string>>; viewUrl?: string }

/** The configuration of this moment: what the environment said, and what an owner who came later has added, once. */
export type Settings = {
  current(): Config
  /** @returns false when others have been taken before: a runtime has one owner */
  take(settings: PersonalSettings): boolean
}

export const createSettings = (config: Config): Settings => {
  let current = config
  /** Of what was taken: some of it is secret, and none of it is needed again. */
  let taken: string | undefined
  return {
    current: () => current,
    take: settings => {
      const given = digest(settings)
      if (taken === undefined) {
        taken = given
        current = withPersonal(config, settings)
      }
      return taken === given
    },
  }
}

const digest = ({ env, viewUrl }: PersonalSettings): string =>
  createHash('sha256')
    .update(JSON.stringify([viewUrl ?? null, Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1))]))
    .digest('base64')

const maxUrl = 2048

const isUrl = (text: string): boolean => text.length <= maxUrl && URL.canParse(text) && /^https?:/.test(text)

/**
 * Parses the body of `POST /personal`; what does not fit is told by JSON pointers, without values. By hand: an owner waits for
 * it, and loading zod takes longer than all the rest of a claim.
 */
export const parsePersonal = (body: string): PersonalSettings | { faults: Fault[] } => {
  const value = jsonOr(body)
  if (!isRecord(value)) return { faults: [{ pointer: '', detail: 'must be a JSON object' }] }
  const faults: Fault[] = Object.keys(value)
    .filter(name => name !== 'env' && name !== 'viewUrl')
    .map(name => ({ pointer: `/${escaped(name)}`, detail: 'is not known here' }))
  const { env, viewUrl } = value
  if (viewUrl !== undefined && !(typeof viewUrl === 'string' && isUrl(viewUrl)))
    faults.push({ pointer: '/viewUrl', detail: `must be an http or https URL of at most ${maxUrl} characters` })
  const read: [string, string][] = []
  if (!isRecord(env)) faults.push({ pointer: '/env', detail: 'must be an object' })
  else
    for (const [name, text] of Object.entries(env)) {
      const fault = (detail: string) => faults.push({ pointer: `/env/${escaped(name)}`, detail })
      // Whoever wants another one needs a runtime of their own.
      if (!modelNames.includes(name)) fault('counts only when the runtime is started')
      else if (typeof text !== 'string' || text.includes('\0')) fault('must be text without NUL')
      else read.push([name, text])
    }
  if (faults.length > 0) return { faults: faults.slice(0, maxFaults) }
  return { env: Object.fromEntries(read), ...(typeof viewUrl === 'string' ? { viewUrl } : {}) }
}

const maxFaults = 20

const escaped = (name: string): string => name.slice(0, 128).replaceAll('~', '~0').replaceAll('/', '~1')

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const jsonOr = (body: string): unknown => {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}
