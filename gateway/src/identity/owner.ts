import { createHash } from 'node:crypto'
import { hasControlCharacter, isWellFormed, pythonStrip } from '@porthole/protocol'
import { Problem } from '../problem.ts'

export const modes = ['shared', 'docker-per-principal', 'docker-per-task'] as const
export type Mode = (typeof modes)[number]

export type OwnerHash = string & { readonly brand: 'OwnerHash' }

export const ownerHashPattern = /^[0-9a-f]{16}$/
export const isOwnerHash = (value: string): value is OwnerHash => ownerHashPattern.test(value)

/** Names a request can give for whoever the runtime is for. */
export type OwnerIds = {
  taskId?: string | null | undefined
  userId?: string | null | undefined
  sessionId?: string | null | undefined
  threadId?: string | null | undefined
}

/** Longest owner, in bytes of UTF-8. */
export const maxOwnerBytes = 512

/** The original's `resolve_isolation_owner` for string ids (PARITY B4, B5). */
export const resolveOwner = (mode: Mode, ids: OwnerIds): string => {
  if (mode === 'docker-per-task') return pythonStrip(ids.taskId || 'default') || 'default'
  // Only null and "" are skipped: a blank user id still hides the session id, and then means the default owner.
  const named = [ids.userId, ids.sessionId].find(id => id !== undefined && id !== null && id !== '')
  if (named) return pythonStrip(named) || 'default'
  return ids.threadId || ids.taskId || 'default'
}

/** The original's `hash_runtime_owner`: the first 16 hex digits of SHA-256. @throws RangeError on a lone surrogate. */
export const hashOwnerKey = (key: string): OwnerHash => {
  if (!isWellFormed(key)) throw new RangeError('the owner holds a lone surrogate, which UTF-8 cannot encode')
  return createHash('sha256').update(key, 'utf8').digest('hex').slice(0, 16) as OwnerHash
}

/**
 * The hash that names an owner in URLs and containers. Tenant `default` in principal mode hashes as the original did;
 * every other (tenant, mode, owner) is joined by a character that none of them can hold.
 */
export const ownerHashOf = (tenant: string, mode: Mode, owner: string): OwnerHash =>
  hashOwnerKey(tenant === 'default' && mode === 'docker-per-principal' ? owner : [tenant, mode, owner].join('\u001f'))

const fault = (field: keyof OwnerIds, detail: string) =>
  new Problem('invalid-request', { detail, faults: [{ pointer: `#/${field}`, detail }] })

/** The field whose value `resolveOwner` went by, for pointing at it. */
const decidingField = (mode: Mode, ids: OwnerIds): keyof OwnerIds => {
  if (mode === 'docker-per-task') return 'taskId'
  const order = ['userId', 'sessionId', 'threadId'] as const
  return order.find(field => ids[field]) ?? 'taskId'
}

/**
 * Whose runtime a request is about.
 *
 * @throws Problem `invalid-request`: no task id in task mode, or an owner that cannot be a name.
 */
export const ownerOf = (mode: Mode, ids: OwnerIds): string => {
  // One shared runtime per tenant, whoever asks (PARITY B20).
  if (mode === 'shared') return 'default'
  if (mode === 'docker-per-task' && !pythonStrip(ids.taskId ?? ''))
    throw fault('taskId', 'docker-per-task needs a task id; write "default" for the default one')
  const owner = resolveOwner(mode, ids)
  const field = decidingField(mode, ids)
  if (!isWellFormed(owner)) throw fault(field, 'holds a lone surrogate, which UTF-8 cannot encode')
  if (hasControlCharacter(owner)) throw fault(field, 'holds a control character')
  if (Buffer.byteLength(owner) > maxOwnerBytes) throw fault(field, `is longer than ${maxOwnerBytes} bytes of UTF-8`)
  return owner
}
