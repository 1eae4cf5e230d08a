import { readdir, readFile, readlink } from 'node:fs/promises'
import type { Lab } from '../lab/kit.ts'

/** What a process of ours has of the machine. */
export type ProcessFootprint = {
  /** 'gateway 2', 'agent 1'. */
  what: string
  residentBytes: number
  sockets: number
  /** What it has started, by their commands. */
  children: string[]
}

export type Footprint = {
  processes: ProcessFootprint[]
  /** Cables of containers that lie in a host's network, and its containers that have one. */
  cables: { host: string; found: number; containers: number }[]
}

/** What all gateways, agents and hosts of a lab have of the machine now. @throws when one of them is away */
export const footprintOf = async ({ gateways, hosts }: Pick<Lab, 'gateways' | 'hosts'>): Promise<Footprint> => ({
  processes: await Promise.all([
    ...gateways.map((gateway, n) => footprintOfProcess(`gateway ${n + 1}`, gateway.process().pid)),
    ...hosts.map((host, n) => footprintOfProcess(`agent ${n + 1}`, host.agent().pid)),
  ]),
  cables: await Promise.all(
    hosts.map(async host => {
      const up = await host.docker.listContainers({ filters: { status: ['running', 'paused'] } })
      const links: unknown = JSON.parse((await host.run('ip', ['-json', 'link', 'show', 'type', 'veth'])) || '[]')
      // One of them is the host's own, to the bridge.
      const found = Array.isArray(links) ? links.length - 1 : Number.NaN
      return { host: host.name, found, containers: up.length }
    }),
  ),
})

const footprintOfProcess = async (what: string, pid: number): Promise<ProcessFootprint> => {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? []
  const descriptors = await readdir(`/proc/${pid}/fd`)
  // One that is closed since it was listed is none.
  const open = await Promise.all(descriptors.map(fd => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')))
  return {
    what,
    residentBytes: Number(kilobytes) * 1024,
    sockets: open.filter(target => target.startsWith('socket:')).length,
    children: await childrenOf(pid),
  }
}

const childrenOf = async (pid: number): Promise<string[]> => {
  const threads = await readdir(`/proc/${pid}/task`)
  const lists = await Promise.all(
    threads.map(thread => readFile(`/proc/${pid}/task/${thread}/children`, 'utf8').catch(() => '')),
  )
  const children = lists.join(' ').split(/\s+/).filter(Boolean)
  const commands = await Promise.all(children.map(child => readFile(`/proc/${child}/comm`, 'utf8').catch(() => '')))
  return commands.map(command => command.trim()).filter(Boolean)
}
