import { z } from '@hono/zod-openapi'
import type { IdlePolicy } from '@porthole/db'
import { type Fault, Problem } from '../problem.ts'

const steps = ['pauseAfter', 'stopAfter', 'deleteAfter'] as const
type Step = (typeof steps)[number]
const keys = [...steps, 'maxAge'] as const

/** Seconds: as little as can be kept to, and a year. */
const least = 10
const most = 31_536_000

/** Seconds; null or 0: never. */
const seconds = z
  .int()
  .min(0)
  .max(most)
  .refine(value => value === 0 || value >= least, `is less than ${least}, and not 0`)
  .nullish()

const after = (what: string) =>
  seconds.openapi({ description: `Seconds unused until it is ${what}; null or 0: never. Default: the spec's.` })

/** What a request, or a spec, says of runtimes that nobody uses. */
export const idleFields = {
  idle: z
    .strictObject({ pauseAfter: after('paused'), stopAfter: after('stopped'), deleteAfter: after('deleted') })
    .optional()
    .openapi({ description: 'What becomes of it when nobody uses it.', example: { stopAfter: 3600 } }),
  maxAge: seconds.openapi({
    description:
      "Seconds after it was created that it is deleted, however much it is used; null or 0: never. Default: the spec's.",
  }),
}

export type AskedIdle = {
  idle?: { [K in Step]?: number | null | undefined } | undefined
  maxAge?: number | null | undefined
}

/** What runtimes of a spec come to where their request says nothing, and what a request may say at most. */
export type IdleRules = { idle?: IdlePolicy | undefined; atMost?: IdlePolicy | undefined }

/** What was said, and where nothing was, what else holds. */
export const policyFrom = ({ idle, maxAge }: AskedIdle, otherwise: IdlePolicy = {}): IdlePolicy => {
  const asked = { ...idle, maxAge }
  const policy: IdlePolicy = {}
  for (const key of keys) {
    const value = asked[key] === undefined ? otherwise[key] : asked[key]
    if (value) policy[key] = value
  }
  return policy
}

/** Two that do not fit together: what is paused is stopped later, and what is stopped is deleted later. */
export const disorderIn = (policy: IdlePolicy): [sooner: Step, later: Step] | undefined => {
  const set = steps.filter(step => policy[step] !== undefined)
  for (const [n, sooner] of set.entries()) {
    const later = set[n + 1]
    if (later && Number(policy[sooner]) >= Number(policy[later])) return [sooner, later]
  }
  return undefined
}

/**
 * Those steps that nobody asked for, sooner where they would come no sooner than the next: half-way from the one before to it.
 * Limits are there for requests; that they do not fit the usual rules is nobody's fault.
 */
export const inOrder = (policy: IdlePolicy, asked: AskedIdle['idle'] = {}): IdlePolicy => {
  const ordered = { ...policy }
  let later = Number.POSITIVE_INFINITY
  for (const [n, step] of [...steps.entries()].reverse()) {
    const value = ordered[step]
    if (value === undefined) continue
    const before = Math.max(0, ...steps.slice(0, n).map(sooner => asked[sooner] ?? 0))
    if (value >= later && asked[step] === undefined) ordered[step] = Math.floor((before + later) / 2)
    later = ordered[step] ?? later
  }
  return ordered
}

/** What a policy goes beyond. */
export const beyond = (policy: IdlePolicy, limits: IdlePolicy = {}) =>
  keys.flatMap(key => {
    const limit = limits[key]
    return limit !== undefined && (policy[key] ?? Number.POSITIVE_INFINITY) > limit ? [{ key, limit }] : []
  })

/**
 * What becomes of a runtime that nobody uses: as its request says, and where that says nothing, as its spec does.
 *
 * @throws Problem `invalid-request`, which points at what does not fit
 */
export const idlePolicyOf = ({ idle: ofSpec, atMost }: IdleRules, asked: AskedIdle): IdlePolicy => {
  const policy = policyFrom(asked, ofSpec)
  const faults: Fault[] = beyond(policy, atMost).map(({ key, limit }) => ({
    pointer: key === 'maxAge' ? '#/maxAge' : `#/idle/${key}`,
    detail: `the spec allows ${limit} at most, and not "never"`,
  }))
  const disorder = disorderIn(policy)
  if (disorder) {
    const [sooner, later] = disorder
    const isAsked = (step: Step) => asked.idle?.[step] !== undefined
    // At one that the request has set: the other may be the spec's.
    const [step, word, other] = isAsked(sooner) ? [sooner, 'less', later] : [later, 'more', sooner]
    const whose = isAsked(other) ? '' : ', as its spec says'
    faults.push({
      pointer: `#/idle/${step}`,
      detail: `must be ${word} than ${other}, which is ${policy[other]}${whose}`,
    })
  }
  const [first] = faults
  if (first) throw new Problem('invalid-request', { detail: `${first.pointer.slice(2)} ${first.detail}`, faults })
  return policy
}
