import type { RuntimeRow } from '@porthole/db'
import type { Mode } from '../identity/owner.ts'
import { viewUrl } from '../identity/view-url.ts'

/** The public URLs of a runtime (PARITY B12). Made from names alone: none is a credential. */
export const urlsOf = (base: string, row: Pick<RuntimeRow, 'mode' | 'ownerHash'>) => ({
  view: viewUrl(base, row.mode as Mode, row.ownerHash),
  cdp: `${base}/cdp/${row.ownerHash}`,
  rpc: `${base}/rpc/${row.ownerHash}/run`,
  ports: {} as Record<string, string>,
})

/** A runtime as the public API answers with it (DESIGN section 5). */
export const presentRuntime = (base: string, row: RuntimeRow) => ({
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
  /** Null: it is kept until somebody stops or deletes it. */
  expiresAt: null as string | null,
  urls: urlsOf(base, row),
  ...(row.error ? { error: row.error } : {}),
})
