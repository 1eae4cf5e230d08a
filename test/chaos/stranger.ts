import assert from 'node:assert/strict'
import type { Lab } from '../lab/kit.ts'

/** A token of another tenant, that may do everything there. */
export const makeStranger = async (lab: Lab): Promise<string> => {
  const options = { token: lab.adminToken }
  const made = await lab.call('POST', '/v1/tenants', { slug: 'stranger', mode: 'docker-per-principal' }, options)
  assert([201, 409].includes(made.status), `the stranger's tenant: ${made.status}`)
  const scopes = ['runtimes:read', 'runtimes:write', 'runtimes:connect']
  const minted = await lab.call('POST', '/v1/tokens', { tenant: 'stranger', scopes, subject: 'stranger' }, options)
  assert.equal(minted.status, 201)
  return ((await minted.json()) as { token: string }).token
}
