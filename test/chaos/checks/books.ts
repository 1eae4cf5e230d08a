import type { RuntimeRow } from '@porthole/db'
import type { Evidence } from '../evidence.ts'
import type { Violation } from '../violation.ts'

const sum = (rows: RuntimeRow[], of: (row: RuntimeRow) => number) => rows.reduce((all, row) => all + of(row), 0)

/** 2: what is reserved is what the rows say, no more than there is, and not less than nothing. */
export const books = ({ hosts, tenants, runtimes }: Pick<Evidence, 'hosts' | 'tenants' | 'runtimes'>): Violation[] => {
  const wrong: Violation[] = []
  const compare = (whose: string, what: string, book: number, rows: number, most: number | null = null) => {
    if (book !== rows)
      wrong.push({ invariant: '2, capacity', what: `${whose} counts ${book} ${what}, its rows ${rows}` })
    if (most !== null && book > most)
      wrong.push({ invariant: '2, capacity', what: `${whose} has given ${book} of ${most} ${what}` })
  }
  for (const host of hosts) {
    const own = runtimes.filter(({ hostId, reserved }) => reserved && hostId === host.id)
    compare(host.name, 'slots', host.reservedSlots, own.length, host.slots)
    const memory = sum(own, row => row.needMemoryBytes)
    compare(host.name, 'bytes', host.reservedMemoryBytes, memory, host.memoryBytes)
    compare(
      host.name,
      'CPU',
      host.reservedCpuMillis,
      sum(own, row => row.needCpuMillis),
      host.cpuMillis,
    )
    compare(
      host.name,
      'GPUs',
      host.reservedGpus,
      sum(own, row => row.needGpus),
      host.gpus,
    )
  }
  for (const tenant of tenants) {
    const own = runtimes.filter(row => row.tenant === tenant.slug && row.reserved)
    const name = `tenant ${tenant.slug}`
    compare(name, 'runtimes', tenant.usedRuntimes, own.filter(({ counted }) => counted).length)
    compare(
      name,
      'bytes',
      tenant.usedMemoryBytes,
      sum(own, row => row.needMemoryBytes),
    )
    compare(
      name,
      'CPU',
      tenant.usedCpuMillis,
      sum(own, row => row.needCpuMillis),
    )
  }
  return wrong
}
