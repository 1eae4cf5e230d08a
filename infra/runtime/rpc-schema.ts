import { z } from 'zod'
import { parseChord } from './keys.ts'
import type { Fault } from './problem.ts'

/** Longest that one action may take, in milliseconds, and what it gets when it doesn't say. */
const maxTimeoutMs = 120_000
const defaultTimeoutMs = 30_000

const timeoutMs = z.number().int().min(1).max(maxTimeoutMs).default(defaultTimeoutMs)
const selector = z.string().min(1).max(4096)
const coordinate = z.number().min(-100_000).max(100_000)
const until = z.enum(['load', 'domcontentloaded', 'none'])

const allowedSchemes = ['http:', 'https:', 'data:', 'about:']
const url = z
  .string()
  .max(512 * 1024)
  .refine(value => URL.canParse(value) && allowedSchemes.includes(new URL(value).protocol), {
    message: 'must be an absolute URL of http, https, data or about',
  })

const goto = z.strictObject({ type: z.literal('goto'), url, waitUntil: until.default('load'), timeoutMs })
const click = z
  .strictObject({
    type: z.literal('click'),
    selector: selector.optional(),
    x: coordinate.optional(),
    y: coordinate.optional(),
    button: z.enum(['left', 'middle', 'right']).default('left'),
    count: z.number().int().min(1).max(3).default(1),
    timeoutMs,
  })
  .refine(
    ({ selector, x, y }) =>
      selector === undefined ? x !== undefined && y !== undefined : x === undefined && y === undefined,
    {
      message: 'needs either selector, or x and y',
    },
  )
const type = z.strictObject({
  type: z.literal('type'),
  /** Without one the text goes to whatever has the focus. */
  selector: selector.optional(),
  text: z.string().max(256 * 1024),
  /** Whether to empty the field first. */
  clear: z.boolean().default(false),
  timeoutMs,
})
const press = z.strictObject({
  type: z.literal('press'),
  key: z
    .string()
    .max(64)
    .refine(value => parseChord(value) !== undefined, { message: 'must be a key such as "Enter", "a" or "Control+A"' }),
  timeoutMs,
})
const wait = z
  .strictObject({
    type: z.literal('wait'),
    ms: z.number().int().min(0).max(maxTimeoutMs).optional(),
    selector: selector.optional(),
    timeoutMs,
  })
  .refine(({ ms, selector }) => (ms === undefined) !== (selector === undefined), {
    message: 'needs either ms or selector',
  })
const evaluate = z.strictObject({ type: z.literal('evaluate'), expression: z.string().max(512 * 1024), timeoutMs })
const screenshot = z.strictObject({
  type: z.literal('screenshot'),
  format: z.enum(['png', 'jpeg']).default('png'),
  quality: z.number().int().min(0).max(100).optional(),
  fullPage: z.boolean().default(false),
  timeoutMs,
})
const pdf = z.strictObject({
  type: z.literal('pdf'),
  landscape: z.boolean().default(false),
  printBackground: z.boolean().default(true),
  timeoutMs,
})
const content = z.strictObject({ type: z.literal('content'), timeoutMs })

export const action = z.discriminatedUnion('type', [goto, click, type, press, wait, evaluate, screenshot, pdf, content])
export type Action = z.infer<typeof action>

export const runRequest = z.strictObject({ actions: z.array(action).min(1).max(100) })
export const taskRequest = z.strictObject({
  task: z
    .string()
    .min(1)
    .max(64 * 1024),
})

export type RunRequest = { actions: Action[] } | { task: string } | { faults: Fault[] }

const pointer = (path: readonly PropertyKey[]): string =>
  path.map(part => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')

const faults = (error: z.ZodError): Fault[] =>
  error.issues.flatMap(issue =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map(key => ({ pointer: pointer([...issue.path, key]), detail: 'is not known here' }))
      : [{ pointer: pointer(issue.path), detail: issue.message }],
  )

/** Parses the body of `POST /run`; what does not fit is told by JSON pointers. */
export const parseRun = (body: string): RunRequest => {
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    return { faults: [{ pointer: '', detail: 'is not JSON' }] }
  }
  const isTask = typeof value === 'object' && value !== null && 'task' in value && !('actions' in value)
  const parsed = isTask ? taskRequest.safeParse(value) : runRequest.safeParse(value)
  return parsed.success ? parsed.data : { faults: faults(parsed.error) }
}
