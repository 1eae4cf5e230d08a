import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { publicDiscovery } from './discovery.ts'
import { parseEdgeTarget } from './route.ts'

const hash = '2bd806c97f0e00af'
const base = fc.constantFrom('https://b.example.com', 'https://b.example.com/x', 'http://127.0.0.1:4747')
const path = fc
  .array(
    fc.constantFrom(
      '/devtools',
      '/page/1',
      '/browser/a-b',
      '/..',
      '/%2e%2e',
      '//',
      '\\',
      '%2f',
      '%00',
      '?a',
      '#b',
      '@',
      '/v1',
    ),
    {
      maxLength: 5,
    },
  )
  .map(parts => parts.join(''))
const address = fc.oneof(
  fc.string(),
  fc
    .tuple(
      fc.constantFrom('ws://', 'wss://', 'http://', 'javascript:', ''),
      fc.constantFrom('evil', '127.0.0.1:9222', ''),
      path,
    )
    .map(parts => parts.join('')),
)
const target = fc.record(
  { id: fc.string(), webSocketDebuggerUrl: address, devtoolsFrontendUrl: address },
  { requiredKeys: [] },
)
const document = fc.oneof(target, fc.array(target), fc.array(fc.oneof(target, fc.array(target))), fc.jsonValue())

const socketsIn = (found: unknown): string[] => {
  if (Array.isArray(found)) return found.flatMap(socketsIn)
  if (typeof found !== 'object' || found === null || !Object.hasOwn(found, 'webSocketDebuggerUrl')) return []
  const { webSocketDebuggerUrl: url } = found as Record<string, unknown>
  return typeof url === 'string' ? [url] : []
}

describe('a DevTools document', () => {
  it("names no socket but through the owner's own door", () => {
    fc.assert(
      fc.property(base, document, (base, document) => {
        for (const url of socketsIn(publicDiscovery(base, hash, document))) {
          const { origin, pathname } = new URL(base)
          const prefix = `${origin.replace(/^http/, 'ws')}${pathname.replace(/\/$/, '')}`
          assert(url.startsWith(`${prefix}/cdp/${hash}/devtools/`), url)
          assert.equal(new URL(url).href, url)
          const route = parseEdgeTarget(url.slice(prefix.length))
          assert.deepEqual([route?.door, route?.ownerHash], ['cdp', hash], url)
        }
      }),
      { numRuns: 1000 },
    )
  })

  it('leads to no page of the inner address', () => {
    fc.assert(
      fc.property(fc.oneof(target, fc.array(target)), document => {
        assert.doesNotMatch(JSON.stringify(publicDiscovery('https://b', hash, document)), /"devtoolsFrontendUrl"/)
      }),
    )
  })
})
