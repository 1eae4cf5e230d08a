import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { TableName } from './plan.ts'
import type { Family, families } from './rules.ts'

/** This machine's packet filter. */
export type Tables = {
  /**
   * A table as `iptables -S` writes it.
   * @throws FirewallUnavailable when the kernel has no such table, or this process no right to it
   */
  read(family: Family, table: TableName): Promise<string>
  /** Applies a script for `iptables-restore --noflush`, of one table: all of it or nothing. */
  restore(family: Family, script: string): Promise<void>
}

/** The agent has no means to set rules for its containers here; trying again will not help. */
export class FirewallUnavailable extends Error {
  override readonly name = 'FirewallUnavailable'
}

/** Rules could not be set this time. */
export class FirewallFailed extends Error {
  override readonly name = 'FirewallFailed'
}

const programs = { ipv4: 'iptables', ipv6: 'ip6tables' } as const satisfies Record<(typeof families)[number], string>
/** Where distributions keep them; what starts the agent may have a path without the administrator's programs. */
const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/** Seconds to wait for whoever else is at the table, then milliseconds for the whole call. */
const lockSeconds = '5'
const callMs = 10_000
/** A host of Kubernetes has tens of thousands of rules. */
const mostOutput = 64 * 2 ** 20

/** The packet filter behind the programs `iptables` and `ip6tables`, which are of the kind that Docker itself uses. */
export const iptables = (): Tables => ({
  read: (family, table) => run(programs[family], ['-w', lockSeconds, '-t', table, '-S']),
  restore: async (family, script) => {
    await run(`${programs[family]}-restore`, ['-w', lockSeconds, '--noflush'], script)
  },
})

const run = async (program: string, args: readonly string[], input = ''): Promise<string> => {
  const running = promisify(execFile)(program, args, {
    env: { PATH: path, LC_ALL: 'C' },
    timeout: callMs,
    killSignal: 'SIGKILL',
    maxBuffer: mostOutput,
  })
  // A program that ends without reading its input says why on its standard error.
  running.child.stdin?.on('error', () => undefined).end(input)
  try {
    return (await running).stdout
  } catch (cause) {
    throw failureOf(program, cause)
  }
}

const noMeans: readonly [RegExp, string][] = [
  [/permission denied|must be root|operation not permitted/i, 'needs root or CAP_NET_ADMIN'],
  [
    /not supported|table does not exist|missing kernel module|APPEND failed \(No such file/i,
    'is not supported by the kernel',
  ],
]

const failureOf = (program: string, cause: unknown): FirewallUnavailable | FirewallFailed => {
  if (!(cause instanceof Error)) return new FirewallFailed(`${program} failed`, { cause })
  if ('code' in cause && cause.code === 'ENOENT')
    return new FirewallUnavailable(`${program} is not installed`, { cause })
  const said = 'stderr' in cause && typeof cause.stderr === 'string' ? cause.stderr.trim().slice(-500) : ''
  const found = noMeans.find(([pattern]) => pattern.test(said))
  if (found) return new FirewallUnavailable(`${program} ${found[1]}`, { cause })
  const killed = 'killed' in cause && cause.killed === true ? `gave no answer within ${callMs / 1000} s` : 'failed'
  return new FirewallFailed(`${program} ${killed}: ${said}`, { cause })
}
