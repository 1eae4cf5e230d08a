import type { ProblemCode } from '../problem.ts'

/** A status and the problem's code; `page`: a person is shown a page instead. */
export type Answer = readonly [status: number, code?: ProblemCode | 'page']

const stranger: Answer = [401, 'unauthorized']

/** What every kind of caller gets where its row says nothing else. */
export const expected = {
  'nobody at all': stranger,
  'a malformed token': stranger,
  'another scheme than Bearer': stranger,
  'alg none': stranger,
  'HS256 keyed with our public key': stranger,
  'HS256 keyed with our public key as PEM': stranger,
  'RS256 under the id of our key': stranger,
  'another key under the id of ours': stranger,
  'a key of their own in the header': stranger,
  'an id that no key has': stranger,
  'an expired token': stranger,
  'a token that is not yet good': stranger,
  "a token for a host's ears": stranger,
  'a token of a tenant that does not exist': stranger,
  'a revoked token': stranger,
  'a ticket in place of a token': stranger,
  'a cookie in place of a token': stranger,
  'a token in place of a cookie': stranger,
  'a ticket that was used': stranger,
  "another runtime's ticket": stranger,
  "a suspended tenant's ticket": stranger,
  "a revoked token's ticket": stranger,
  "another view's cookie": stranger,
  "a suspended tenant's cookie": stranger,
  "a revoked token's cookie": stranger,
  'a suspended tenant': [403, 'tenant-suspended'],
  'a token without the scope': [403, 'insufficient-scope'],
  'another tenant': [404, 'not-found'],
  'another owner': [404, 'not-found'],
  // Credentials that are good, but for a person's live view alone.
  'the ticket': stranger,
  'the cookie': stranger,
} as const satisfies Record<string, Answer>

/** Who is let in where nothing else is said. A row says what they get. */
export const rightful = ['the rightful caller', "the owner's own token"] as const

export type CallerName = keyof typeof expected | (typeof rightful)[number]

/** Who has something good for the very thing they ask for. All others are strangers to it. */
export const welcome: ReadonlySet<CallerName> = new Set([...rightful, 'the ticket', 'the cookie'])

/** Who asks for what would be theirs, had their tenant not been suspended; the others ask for what is alice's. */
export const frozenOut: ReadonlySet<CallerName> = new Set([
  'a suspended tenant',
  "a suspended tenant's ticket",
  "a suspended tenant's cookie",
])
