import { claimIdempotencyKey, type Db, digestOf, dropIdempotencyKey, keepIdempotentAnswer } from '@porthole/db'
import { Problem } from '../problem.ts'

type Answer<Status extends number, Body> = { status: Status; body: Body }

/**
 * Runs `act` once per (owner, key): later requests with the key get the first one's answer again, for a day. An attempt
 * that threw is not kept; the key is free for the next try.
 *
 * @param seconds in which `act` ends, at most: of one that was cut off, with its gateway say, the key is free after that
 * @throws Problem `idempotency-mismatch` when the key came with another request, `idempotency-at-work`
 */
export const idempotent = async <Status extends number, Body extends Record<string, unknown>>(
  db: Db,
  owner: readonly string[],
  key: string | undefined,
  request: unknown,
  seconds: number,
  act: () => Promise<Answer<Status, Body>>,
): Promise<Answer<Status, Body> & { replayed: boolean }> => {
  if (key === undefined) return { ...(await act()), replayed: false }
  const digest = digestOf('idempotency', ...owner, key)
  const claim = await claimIdempotencyKey(db, digest, digestOf(JSON.stringify(request)), seconds)
  if (claim.kind === 'mismatch') throw new Problem('idempotency-mismatch')
  if (claim.kind === 'at-work') throw new Problem('idempotency-at-work', { retryAfterSeconds: 1 })
  // What was kept under this key came out of the same `act`.
  if (claim.kind === 'done') return { status: claim.status as Status, body: claim.body as Body, replayed: true }
  try {
    const answer = await act()
    await keepIdempotentAnswer(db, { digest, claim: claim.claim }, answer.status, answer.body)
    return { ...answer, replayed: false }
  } catch (error) {
    await dropIdempotencyKey(db, { digest, claim: claim.claim })
    throw error
  }
}
