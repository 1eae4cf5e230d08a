import { nextEnd, type RuntimeRow } from '@porthole/db'
import { doorNames } from '../edge/port-hosts.ts'
import type { House } from '../house.ts'
import type { Mode, OwnerHash } from '../identity/owner.ts'
import { viewUrl } from '../identity/view-url.ts'

type Where = Pick<House, 'base' | 'specs' | 'portHosts'>

/** The public URLs of a runtime (PARITY B12). Made from names alone: none is a credential. */
const urlsOf = ({ base, specs, portHosts }: Where, row: Pick<RuntimeRow, 'mode' | 'ownerHash' | 'spec'>) => {
  const names = Object.keys(specs.portsOf(row.spec) ?? {}).filter(name => !doorNames.has(name))
  const ownerHash = row.ownerHash as OwnerHash
  return {
    view: viewUrl(base, row.mode as Mode, row.ownerHash),
    cdp: `${base}/cdp/${row.ownerHash}`,
    rpc: `${base}/rpc/${row.ownerHash}/run`,
    ports: Object.fromEntries(names.map(name => [name, portHosts.urlOf({ ownerHash, name })])),
  }
}

/** A runtime as the public API answers with it (DESIGN section 5). */
export const presentRuntime = (where: Where, row: RuntimeRow) => ({
  id: row.id,
  tenant: row.tenant,
  mode: row.mode as Mode,
  owner: row.owner,
  ownerHash: row.ownerHash,
  spec: row.spec,
  state: row.state,
  generation: row.generation,
  host: row.hostId,
  labels: row.labels,
  createdAt: row.createdAt.toISOString(),
  readyAt: row.readyAt?.toISOString() ?? null,
  lastUsedAt: row.lastUsedAt.toISOString(),
  /** Null: it is kept as it is until somebody does something about it. */
  expiresAt: nextEnd(row, new Date())?.at.toISOString() ?? null,
  urls: urlsOf(where, row),
  ...(row.error ? { error: row.error } : {}),
})
