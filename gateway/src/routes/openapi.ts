import type { HttpBindings } from '@hono/node-server'
import { type Hook, OpenAPIHono, type z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import { admit, type Guest, type House } from '../house.ts'
import { type Fault, Problem, type ProblemCode, problems } from '../problem.ts'
import { demand, type Scope } from '../tokens/caller.ts'
import { problemSchema } from './schemas.ts'

export type AppEnv = { Bindings: HttpBindings; Variables: { requestId: string; guest: Guest } }

/** RFC 6901, as a URI fragment. */
const pointerTo = (path: readonly PropertyKey[]) =>
  `#${path.map(part => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')}`

/** Faults told of one request: the answer must not be larger than the question. */
const maxFaults = 20

const where = { json: 'the body', query: 'the query', param: 'the path', header: 'the headers' } as const

const faultsOf = (issues: z.core.$ZodIssue[]): Fault[] =>
  issues.flatMap(issue =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map(key => ({ pointer: pointerTo([...issue.path, key]), detail: 'is not a known field' }))
      : [{ pointer: pointerTo(issue.path), detail: issue.message }],
  )

/** Turns what a schema did not like into a 400 that says where. */
const refuseInvalid: Hook<unknown, AppEnv, string, unknown> = result => {
  if (result.success) return
  const place = where[result.target as keyof typeof where] ?? result.target
  throw new Problem('invalid-request', {
    detail: `${place} does not fit the schema`,
    faults: faultsOf(result.error.issues.slice(0, maxFaults)).slice(0, maxFaults),
  })
}

/** Lets in who may, before a byte of the request is parsed. The caller is in `c.get('guest')` afterwards. */
export const guard =
  (house: House, scope: Scope): MiddlewareHandler<AppEnv> =>
  async (c, next) => {
    const guest = await admit(house, c.req.header('authorization'))
    // Known from here on, so that a refusal is in the audit too.
    c.set('guest', guest)
    demand(guest, scope)
    // What waits for a runtime holds no query meanwhile, and has its own bounds.
    if (c.req.method !== 'GET' || c.req.path.endsWith('/wait')) return next()
    const leave = house.calls.enter(guest.tenant)
    try {
      await next()
    } finally {
      leave()
    }
  }

export const createRouter = () => new OpenAPIHono<AppEnv>({ defaultHook: refuseInvalid })

/** The problems a route may answer with, for its OpenAPI description. */
export const problemAnswers = (...codes: ProblemCode[]) =>
  Object.fromEntries(
    [...codes, 'unauthorized' as const, 'invalid-request' as const].map(code => [
      problems[code][0],
      { description: problems[code][1], content: { 'application/problem+json': { schema: problemSchema } } },
    ]),
  )

/** The JSON body of an answer, for OpenAPI. */
export const jsonAnswer = <T extends z.ZodType>(description: string, schema: T) => ({
  description,
  content: { 'application/json': { schema } },
})

export const bearer = [{ bearer: [] as string[] }]
