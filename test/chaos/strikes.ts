import { setTimeout as delay } from 'node:timers/promises'
import { eventually } from '../kit/eventually.ts'
import type { Lab } from '../lab/kit.ts'
import { faults } from './faults.ts'
import type { History, Struck } from './history.ts'
import type { Strike } from './plan.ts'
import type { Compared } from './restarts.ts'
import { createRandom } from './seed.ts'

/** Milliseconds within which everything is to answer again once it was mended. */
const recoveryMs = 90_000

export type Strikes = {
  lab: Lab
  history: History
  /** Milliseconds since the beginning. */
  now(): number
  tell(line: string): void
  /** Looks before a strike; what it gives looks after the mending, and says what must not have changed. */
  watch(): Promise<() => Promise<Compared>>
  mended(): void
  /** Aborted: nothing more is struck, and what is, is mended at once. */
  signal: AbortSignal
}

/** Resolves after so many milliseconds, or when it is over. */
export const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  delay(ms, undefined, { signal }).catch(() => undefined)

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

/** Strikes, waits, mends, and waits until the whole lab answers again. What fails is noted, and thrown never. */
export const carryOut = async (
  planned: Strike,
  { lab, history, now, tell, watch, mended, signal }: Strikes,
): Promise<void> => {
  await pause(Math.max(0, planned.at - now()), signal)
  if (signal.aborted) return
  const seen: Struck = {
    ...{ fault: planned.fault, what: 'nothing', at: now(), mendedAt: Infinity, recoveryMs: Infinity, wrong: [] },
  }
  history.strikes.push(seen)
  try {
    const fault = faults.find(({ name }) => name === planned.fault)
    if (!fault) throw new Error(`there is no fault called ${planned.fault}`)
    const compare = await watch()
    const { what, touched, mend } = await fault.strike(lab, createRandom(planned.seed))
    Object.assign(seen, { what, touched })
    tell(`${(seen.at / 1000).toFixed(1)} s  ${fault.name}: ${what}`)
    await pause(planned.for, signal)
    seen.mendedAt = now()
    // Another fault may keep it from being mended at first.
    await eventually(mend, recoveryMs, 1000)
    mended()
    if (signal.aborted) return
    const { wrong, ...compared } = await compare()
    Object.assign(seen, { wrong, compared })
    tell(
      `${(now() / 1000).toFixed(1)} s  ${fault.name}: compared ${compared.containers} containers, ${compared.views} views`,
    )
    // Others may be struck meanwhile: what counts is when all is whole, and the longest is told.
    await eventually(() => demandWhole(lab), recoveryMs, 250)
    seen.recoveryMs = now() - seen.mendedAt
  } catch (error) {
    seen.failed = messageOf(error)
  }
}

/** @throws Error while a gateway does not answer, or a host is not live for it */
export const demandWhole = async ({ gateways, hosts, adminToken }: Lab): Promise<void> => {
  for (const { url } of gateways) {
    const answer = await fetch(`${url}/v1/hosts`, {
      headers: { authorization: `Bearer ${adminToken}` },
      signal: AbortSignal.timeout(5000),
    })
    if (!answer.ok) throw new Error(`${url} answers ${answer.status}`)
    const { items } = (await answer.json()) as { items: { id: string; state: string }[] }
    for (const { id, name } of hosts)
      if (items.find(host => host.id === id)?.state !== 'live') throw new Error(`${name} is not live`)
  }
}
