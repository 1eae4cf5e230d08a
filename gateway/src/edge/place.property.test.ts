import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { placeOf } from './place.ts'

const hash = '2bd806c97f0e00af'
const base = fc.constantFrom(
  'https://b.example.com',
  'https://b.example.com/base',
  'http://127.0.0.1:4747',
  'https://b.example.com:8443/a/b',
)
const piece = fc.oneof(
  fc.constantFrom('/', '//', '\\', '..', '.', '?', '#', '@', ':', '%2e', '%2f', '\t', '\n', ' ', ';'),
  fc.constantFrom('http:', 'https:', 'HTTP://', 'javascript:', 'data:', 'ws:', 'file:', 'blob:'),
  fc.constantFrom(
    'b.example.com',
    'B.EXAMPLE.COM',
    'b.example.com.',
    'b.example.com:443',
    'user@b.example.com',
    '127.0.0.1:4747',
  ),
  fc.constantFrom('v1/tokens', `rpc/${'f'.repeat(16)}`, 'evil.example', 'container.invalid', '[', '::1'),
  fc.string({ maxLength: 4 }),
)
const address = fc.array(piece, { maxLength: 7 }).map(parts => parts.join(''))
const rest = fc.constantFrom('', '/', '/a/b?x=1', '?x')

/** How a program that knows only RFC 3986 takes an address: by its text. */
const followedLiterally = (from: string, to: string): string => {
  if (/^[a-z][a-z0-9+.-]*:/i.test(to)) return to
  return to.startsWith('//') ? `${new URL(from).protocol}${to}` : `${new URL(from).origin}${to}`
}

describe('an address that a container answers with', () => {
  it('leads into its own place, or to another host, or nowhere; and for every reader to the same', () => {
    fc.assert(
      fc.property(base, address, rest, (base, address, rest) => {
        const there = placeOf(base, 'rpc', hash, rest).toPublic(address)
        if (there === undefined) return
        const own = `${new URL(base).pathname.replace(/\/$/, '')}/rpc/${hash}`
        const followed = new URL(there, `${base}/rpc/${hash}${rest}`)
        assert.equal(followed.href, new URL(followedLiterally(base, there)).href)
        assert.match(followed.protocol, /^https?:$/)
        const isOurs =
          followed.hostname.replace(/\.$/, '') === new URL(base).hostname && followed.port === new URL(base).port
        if (isOurs) assert(`${followed.pathname}/`.startsWith(`${own}/`), `${address} leads to ${followed}`)
        assert.match(there, /^[!-~]*$/)
      }),
      { numRuns: 3000 },
    )
  })
})
