import assert from 'node:assert/strict'
import type { TestStack } from './stack.ts'

/** A runtime as the public API answers with it. */
export type Runtime = {
  id: string
  mode: string
  owner: string
  ownerHash: string
  state: string
  generation: number
  host: string | null
  urls: { view: string; cdp: string; rpc: string }
}

/** Ensures a runtime and expects it to be ready, 201 or 200. */
export const ensure = async (stack: TestStack, body: object): Promise<Runtime & { status: number }> => {
  const answer = await stack.call('POST', '/v1/runtimes', { wait: 120, ...body })
  const text = await answer.text()
  assert(answer.status === 200 || answer.status === 201, `${answer.status} ${text}`)
  return { ...(JSON.parse(text) as Runtime), status: answer.status }
}

/** Deletes a runtime and expects nothing to be left. */
export const remove = async (stack: TestStack, id: string, query = ''): Promise<void> => {
  const answer = await stack.call('DELETE', `/v1/runtimes/${id}${query}`)
  assert.equal(answer.status, 204, await answer.text())
}

/** What a DevTools client sends along. */
export const authorization = (stack: TestStack, token = stack.tenantToken): Record<string, string> => ({
  authorization: `Bearer ${token}`,
})

/** A page without a server: what it shows comes in its address. */
export const pageOf = (html: string): string => `data:text/html;charset=utf-8,${encodeURIComponent(html)}`
