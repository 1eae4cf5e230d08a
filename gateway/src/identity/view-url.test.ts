import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import vectors from '../../../test/vectors/source-behaviour.json' with { type: 'json' }
import { hashOwnerKey, type Mode, resolveOwner } from './owner.ts'
import { normalizeBaseUrl, viewUrl } from './view-url.ts'

describe('the original vectors', () => {
  for (const { raw, expect } of vectors.normalize_browser_view_base_url)
    it(`base ${JSON.stringify(raw)}`, () => assert.equal(normalizeBaseUrl(raw), expect))

  for (const row of vectors.get_browser_view_url)
    it(`view of ${JSON.stringify(row)}`, () => {
      const mode = row.env.BROWSER_USE_ISOLATION_MODE as Mode
      const { user_id: userId } = row.metadata ?? {}
      const owner = resolveOwner(mode, { taskId: row.task_id, userId, threadId: row.thread_id })
      assert.equal(viewUrl(normalizeBaseUrl(row.env.BROWSER_VIEW_BASE_URL), mode, hashOwnerKey(owner)), row.expect)
    })
})
