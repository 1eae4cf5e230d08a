import type { Scope } from '../tokens/caller.ts'
import { type Answer, type CallerName, expected, rightful } from './expected.ts'

/** What is not as in the table of `expected`, and why that is right. */
export type Exception = {
  answer: Answer
  why: string
  /** The answer is about something of the caller's own, made by the call: no two are alike. */
  own?: true
}

/** One public route or upgrade. `{names}` stand for those of a thing. */
export type Row = {
  /** As the app has it, up to the names of its parameters: `GET /v1/runtimes/{runtime}`; upgrades: `WS /cdp/{hash}`. */
  route: string
  /** In the place of the route's `*`. */
  rest?: string
  /** What the route is called with where it takes all. */
  method?: string
  query?: string
  headers?: Record<string, string>
  body?: unknown
  /** The one scope that it takes. */
  scope?: Scope
  /** What the rightful caller gets. */
  answer: Answer
  /** Why it asks for no token of a caller, and what it answers to all but the rightful ones. */
  open?: { answer: Answer; why: string }
  /** Whose it is, where that is not the owner's runtime. */
  at?: 'shared'
  /** The rightful caller is a host. */
  credential?: 'host'
  /** A person without a token is answered with a page. */
  page?: true
  except?: Partial<Record<CallerName, Exception>>
}

/** What a row has a caller get. */
export const expectedOf = (row: Row, caller: CallerName): Exception => {
  const exception = row.except?.[caller]
  if (exception) return exception
  if (rightful.some(name => name === caller)) return { answer: row.answer, why: 'it may' }
  if (row.open) return row.open
  const answer: Answer = expected[caller as keyof typeof expected]
  return row.page && answer[0] === 401 ? { answer: [401, 'page'], why: 'people get a page' } : { answer, why: 'table' }
}

/** A route without the names of its parameters, so that `:id` and `{runtime}` are the same. */
export const shapeOf = (route: string): string => route.replace(/:\w+|\{\w+\}/g, ':')

/** How a row is named in failures. */
export const titleOf = ({ route, rest, query, page }: Row): string =>
  `${rest === undefined ? route : route.replace('*', rest)}${query ? `?${query}` : ''}${page ? ' (a person)' : ''}`
