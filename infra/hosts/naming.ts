import { markOf } from '../dev/names.ts'

/** What the hosts of one folder are called on this machine. Derived, so that a later run finds what a killed one left. */
export type Naming = {
  /** Where the engines keep their data between runs. */
  dir: string
  /** Their sockets and mounts; short, because a socket's path has at most 107 bytes (unix(7)). */
  runDir: string
  /** Interface names have at most 15 bytes. */
  bridge: string
  netns(host: number): string
  /** The bridge's end of the cable to a host. */
  cable(host: number): string
  isOurNetns(name: string): boolean
}

export function namingOf(dir: string): Naming {
  const mark = markOf(dir).slice(0, 6)
  return {
    dir,
    runDir: `/run/porthole-${mark}`,
    bridge: `porthole${mark}`,
    netns: host => `porthole-${mark}-${host}`,
    cable: host => `ph${mark}-${host}`,
    isOurNetns: name => new RegExp(`^porthole-${mark}-\\d+$`).test(name),
  }
}
