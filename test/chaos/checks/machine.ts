import type { Evidence } from '../evidence.ts'
import type { Violation } from '../violation.ts'

/** What a process may have more than before the schedule, when it is quiet again: warm caches and pools. */
const spare = { bytes: 200 * 2 ** 20, sockets: 60 }
const mebibytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`

/** Our processes are as they were: memory, sockets, children; and no cable lies in a host without its container. */
export const machine = ({ footprints: { before, after }, history }: Evidence): Violation[] => {
  const wrong: Violation[] = []
  const say = (what: string) => wrong.push({ invariant: 'nothing leaks', what })
  const was = new Map(before.processes.map(one => [one.what, one]))
  for (const { what, residentBytes, sockets, children } of after.processes) {
    const { residentBytes: bytesBefore = 0, sockets: socketsBefore = 0 } = was.get(what) ?? {}
    if (residentBytes > bytesBefore + spare.bytes)
      say(`${what} has ${mebibytes(residentBytes)}, and had ${mebibytes(bytesBefore)}`)
    if (sockets > socketsBefore + spare.sockets) say(`${what} has ${sockets} sockets, and had ${socketsBefore}`)
    if (children.length > 0) say(`${what} has left ${children.join(', ')} running`)
  }
  for (const { host, found, containers } of after.cables)
    if (found > containers) say(`${host} has ${found} containers' cables for ${containers} containers`)
  for (const { what, at, exit } of history.deaths)
    wrong.push({
      invariant: '5, restarts',
      what: `${what} ended by itself at ${(at / 1000).toFixed(1)} s (${exit}): see ${what}.log`,
      past: true,
    })
  return wrong
}
