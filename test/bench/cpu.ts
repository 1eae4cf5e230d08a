import { readdirSync, readFileSync } from 'node:fs'

/** Linux counts a process's time in hundredths of a second, whatever its timer does (proc(5), USER_HZ). */
const ticksPerSecond = 100

type Stat = { parent: number; own: number; ended: number }

/** Fields of `/proc/PID/stat`, counted behind the name, which may hold anything. Undefined: it has ended. */
const statOf = (pid: number | string): Stat | undefined => {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined
  }
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  const at = (index: number) => fields[index] ?? 0
  return {
    parent: at(1),
    own: (at(11) + at(12)) / ticksPerSecond,
    ended: (at(13) + at(14)) / ticksPerSecond,
  }
}

/** Seconds of CPU that a process has used so far, in user and in kernel mode. */
export const cpuOf = (pid: number): number => statOf(pid)?.own ?? 0

/** Seconds of CPU that a process and its children have used so far, those that have ended too: a whole Postgres, by its first process. */
export const cpuOfFamily = (pid: number): number => {
  const first = statOf(pid)
  const children = readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(statOf)
    .filter(stat => stat?.parent === pid)
  return (first?.own ?? 0) + (first?.ended ?? 0) + children.reduce((sum, child) => sum + (child?.own ?? 0), 0)
}

/**
 * Seconds of CPU that a process has used so far, with those of its children that still run: what a proxy with workers
 * has cost.
 */
export const cpuWithChildren = (pid: number): number => {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').filter(Boolean)
  return cpuOf(pid) + children.reduce((sum, child) => sum + cpuOf(Number(child)), 0)
}

/** Seconds that other guests of the host had this machine's processors, when it would have used them, summed over those. */
export const stolenSeconds = (): number =>
  Number(/^cpu +(?:\d+ +){7}(\d+)/.exec(readFileSync('/proc/stat', 'latin1'))?.[1] ?? 0) / ticksPerSecond

/** What a stretch of work has cost: seconds of the clock, and seconds of CPU by whose they were. */
export type Cost<Name extends string> = { seconds: number; cpu: Record<Name, number> }

/** Measures what the named processes use from now until the returned function is called. */
export const startCost = <Name extends string>(meters: Record<Name, () => number>): (() => Cost<Name>) => {
  const names = Object.keys(meters) as Name[]
  const read = () => Object.fromEntries(names.map(name => [name, meters[name]()])) as Record<Name, number>
  const before = read()
  const startedAt = performance.now()
  return () => {
    const after = read()
    const seconds = (performance.now() - startedAt) / 1000
    return {
      seconds,
      cpu: Object.fromEntries(names.map(name => [name, after[name] - before[name]])) as Record<Name, number>,
    }
  }
}
