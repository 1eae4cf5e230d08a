import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config.ts'
import { AgentError } from '../problems.ts'
import { FirewallUnavailable } from './iptables.ts'
import type { Fence } from './rules.ts'
import { createUpkeep, type UpkeepDependencies } from './upkeep.ts'

/** Milliseconds between two looks at the rules: whoever flushed them opened the host for no longer. */
const checkMs = 5000

/** The fences of this machine's networks, kept as they should be. */
export type Firewall = {
  /**
   * Resolves once the rules of a network are in place, so that a container may be started on it.
   * @throws AgentError when they should be and are not; where they can't be, `best-effort` warns once and goes on
   */
  cover(fence: Fence): Promise<void>
  /** Puts back what is missing, every few seconds until aborted, for these fences or else for those of the last time. */
  run(fences: () => Promise<readonly Fence[]>, signal: AbortSignal): Promise<void>
}

export type FirewallDependencies = UpkeepDependencies & {
  mode: Config['firewall']
  nameservers: () => Promise<readonly string[]>
}

export const createFirewall = (deps: FirewallDependencies): Firewall => {
  const { mode, nameservers, hasInterface, log } = deps
  const upkeep = createUpkeep(deps)
  const fences = new Map<string, Fence>()
  let running: Promise<void> = Promise.resolve()
  let waiting: Promise<void> | undefined
  let told: string | undefined

  /** One at a time; who comes while one runs shares the next with everybody else who does. */
  const sync = (): Promise<void> => {
    waiting ??= running.then(() => {
      waiting = undefined
      const now = syncAll()
      running = now.catch(() => undefined)
      return now
    })
    return waiting
  }

  const syncAll = async (): Promise<void> =>
    upkeep(
      [...fences.values()].filter(({ bridge }) => hasInterface(bridge)),
      await nameservers(),
    )

  const assertHere = (some: Iterable<Fence>): void => {
    for (const { bridge } of some) {
      if (hasInterface(bridge)) continue
      throw new FirewallUnavailable(
        "the engine's bridge is not on this machine (an engine in a virtual machine, without root, or in another network namespace)",
      )
    }
  }

  const tell = (error: unknown): void => {
    const why = error instanceof Error ? error.message : String(error)
    if (why !== told) {
      log.warn(
        { reason: why },
        'containers are NOT kept from private networks, cloud metadata and this host: run the agent as root with iptables beside its engine, or set PORTHOLE_FIREWALL=off to accept this',
      )
    }
    told = why
  }

  const cover = async (fence: Fence): Promise<void> => {
    if (mode === 'off') return
    fences.set(fence.id, fence)
    try {
      await sync()
      assertHere([fence])
      told = undefined
    } catch (error) {
      if (!(error instanceof FirewallUnavailable) || mode === 'required') throw notNow(error)
      tell(error)
    }
  }

  const check = async (current: () => Promise<readonly Fence[]>): Promise<void> => {
    try {
      const before = [...fences.keys()]
      const found = await current()
      // Not those that came in between: their start relies on them.
      for (const id of before) fences.delete(id)
      for (const fence of found) fences.set(fence.id, fence)
    } catch {
      // The engine does not answer, which is told elsewhere: what was there is still fenced.
    }
    try {
      await sync()
      assertHere(fences.values())
      told = undefined
    } catch (error) {
      tell(error)
    }
  }

  return {
    cover,
    run: async (current, signal) => {
      while (mode !== 'off' && !signal.aborted) {
        await check(current)
        await sleep(checkMs, undefined, { signal }).catch(() => undefined)
      }
    },
  }
}

const notNow = (cause: unknown): AgentError =>
  new AgentError(
    'engine-unavailable',
    { detail: "the host's firewall could not be set up for this runtime" },
    { cause },
  )
