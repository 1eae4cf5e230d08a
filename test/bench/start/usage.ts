import { readdirSync, readFileSync } from 'node:fs'
import type Docker from 'dockerode'

/** What a container uses at this moment. */
export type Usage = {
  /** Seconds of CPU since it was started. */
  cpu: number
  /** Bytes that its limit counts, without files that could be dropped at once: the figure of `docker stats`. */
  memory: number
}

/** As the engine counts it. */
export const usageOf = async (docker: Docker, container: string): Promise<Usage> => {
  // Without it the engine waits for a second reading.
  const once = { stream: false as const, 'one-shot': true as const }
  const { cpu_stats: cpu, memory_stats: memory } = await docker.getContainer(container).stats(once)
  // The first is version 1 of control groups, the other version 2.
  const stats: Record<string, number | undefined> = { ...memory.stats }
  const idleFiles = stats.total_inactive_file ?? stats.inactive_file ?? 0
  return { cpu: cpu.cpu_usage.total_usage / 1e9, memory: memory.usage - idleFiles }
}

/**
 * Bytes that its processes would free if they ended: memory that several processes share, of other containers too, counts for
 * each by its part (PSS, proc(5)). Undefined where this machine does not show them: they run on another, or we are not root.
 */
export const pssOf = async (docker: Docker, container: string): Promise<number | undefined> => {
  const { Id } = await docker.getContainer(container).inspect()
  const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name) && read(name, 'cgroup')?.includes(Id))
  const sizes = pids.map(pid => Number(/^Pss:\s+(\d+) kB/m.exec(read(pid, 'smaps_rollup') ?? '')?.[1]) * 1024)
  const known = sizes.filter(size => !Number.isNaN(size))
  return known.length === 0 ? undefined : known.reduce((sum, size) => sum + size, 0)
}

/** Undefined for a process that has ended, or is not ours to read. */
const read = (pid: string, file: string): string | undefined => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return undefined
  }
}
