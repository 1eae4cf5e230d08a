const reserveMb = 1024

/**
 * Settings of an agent whose host has this machine together with others: what each offers adds up to what there is. Memory
 * in MiB, a gigabyte of it for the machine itself.
 */
export function shareOf(hosts: number, memoryMb: number, cores: number): Record<string, string> {
  const offered = Math.max(0, memoryMb - reserveMb) / hosts
  return {
    PORTHOLE_MEMORY_RESERVE_MB: String(Math.ceil(memoryMb - offered)),
    PORTHOLE_STARTS_AT_ONCE: String(Math.max(1, Math.floor(cores / hosts))),
  }
}
