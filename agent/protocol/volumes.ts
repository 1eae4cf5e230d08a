import { z } from 'zod'
import { ownerHash } from './commands.ts'

/**
 * Profiles on the move, `Authorization` as for commands. Each refuses with `wrong-state` while a container has the volume:
 *
 * | route | body | answer |
 * |---|---|---|
 * | `GET /v1/volumes/:ownerHash?tenant=` | | 200, the volume as a tar; `not-found` when there is none |
 * | `GET /v1/volumes/:ownerHash/digest?tenant=` | | 200 `volumeDigest` of what is there |
 * | `PUT /v1/volumes/:ownerHash?tenant=` | a tar | 200 `volumeDigest` of what is there now, read back; `wrong-state` when there is one already, `no-room` when the disk would be full |
 * | `DELETE /v1/volumes/:ownerHash?tenant=` | | 204 when there is none left; `busy` when it is worked on for long |
 */
export const volumePath = (hash: string, tenant: string, rest = ''): string =>
  `/v1/volumes/${ownerHash.parse(hash)}${rest}?tenant=${encodeURIComponent(tenant)}`

/** What a volume holds, file by file: names, kinds, modes, owners, targets and contents, in any order. */
export const volumeDigest = z.object({
  /** SHA-256, base64url. */
  digest: z.string().max(64),
  files: z.number().int().min(0),
  /** Of the contents. */
  bytes: z.number().int().min(0),
})
export type VolumeDigest = z.infer<typeof volumeDigest>
