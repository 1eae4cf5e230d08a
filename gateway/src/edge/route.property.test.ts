import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isPlainPath, parseEdgeTarget, takesSocket } from './route.ts'

const hash = fc.stringMatching(/^[0-9a-f]{16}$/)
const door = fc.constantFrom('view', 'cdp', 'rpc')
/** What attacks are made of, among ordinary text. */
const piece = fc.oneof(
  fc.constantFrom(
    '/..;',
    '/..',
    '/%2e%2e',
    '.',
    '..',
    '/',
    '//',
    '\\',
    '%2e',
    '%2E',
    '%2f',
    '%5c',
    '%00',
    '%c0%ae',
    '%e0%80%af',
    '%25',
    ';',
    '?',
    '#',
  ),
  fc.constantFrom('view', 'cdp', 'rpc', 'http:', '@', ':', '*', '\0', '\r\n', ' ', '\u00e9', '%zz', '%'),
  fc.string({ maxLength: 4 }),
  hash,
)
const crooked = fc.array(piece, { maxLength: 8 }).map(parts => parts.join(''))
/** Segments that mean nothing but themselves. */
const segment = fc.stringMatching(/^[A-Za-z0-9_~!$&'()*+,=:@-]{1,8}$/)
const plain = fc.array(segment, { maxLength: 5 }).map(parts => parts.map(part => `/${part}`).join(''))
const query = fc.option(fc.stringMatching(/^[A-Za-z0-9=&.%/?-]{0,12}$/), { nil: undefined })

/** What the most liberal program on the way might make of a path. */
const liberal = (path: string): string => {
  let text = path
  for (let n = 0; n < 3; n += 1)
    text = text.replace(/%([0-9a-f]{2})/gi, (_, code) => String.fromCharCode(Number.parseInt(code, 16)))
  return new URL(text.replaceAll('\\', '/').replace(/;[^/]*/g, ''), 'http://x').pathname
}

describe('edge targets', () => {
  it('that are plain are read and can be put together again', () => {
    fc.assert(
      fc.property(door, hash, plain, query, (door, ownerHash, path, query) => {
        const rest = `${path}${query === undefined ? '' : `?${query}`}`
        assert.deepEqual(parseEdgeTarget(`/${door}/${ownerHash}${rest}`), { door, ownerHash, rest })
      }),
    )
  })

  it('never lead to anybody else, however they are read', () => {
    fc.assert(
      fc.property(door, hash, crooked, (door, ownerHash, rest) => {
        const target = `/${door}/${ownerHash}${rest}`
        const route = parseEdgeTarget(target)
        if (route === undefined) return
        assert.equal(`/${route.door}/${route.ownerHash}${route.rest}`, target)
        assert.equal(route.ownerHash, ownerHash)
        const path = target.split('?', 1)[0] ?? ''
        // Escapes of escapes are one program's text: they are decoded once.
        if (!path.includes('%25'))
          assert(liberal(path).startsWith(`/${door}/${ownerHash}`), `${target} is ${liberal(path)}`)
        assert.equal(decodeURIComponent(new URL(target, 'http://x').pathname), decodeURIComponent(path))
      }),
      { numRuns: 2000 },
    )
  })

  it('that are anything at all are nobody’s or begin with a door and a hash, and never throw', () => {
    fc.assert(
      fc.property(fc.oneof(crooked, fc.string()), target => {
        const route = parseEdgeTarget(target)
        if (route) assert.match(target, /^\/(view|cdp|rpc)\/[0-9a-f]{16}([/?]|$)/)
      }),
      { numRuns: 2000 },
    )
  })

  it('are plain only where the URL parser and one decoding change no segment', () => {
    fc.assert(
      fc.property(crooked, text => {
        const path = `/${text}`
        if (!isPlainPath(path) || path.includes('?')) return
        const decoded = decodeURIComponent(path)
        assert.equal(decodeURIComponent(new URL(`http://x${path}`).pathname), decoded)
        assert.equal(decoded.split('/').length, path.split('/').length)
        assert(!decoded.split(/[/\\]/).some(segment => segment === '.' || segment === '..'))
        assert.doesNotMatch(decoded, /\p{Cc}(?<![\u0080-\u009f])/u)
      }),
      { numRuns: 2000 },
    )
  })

  it('take a socket only where a door has one', () => {
    fc.assert(
      fc.property(crooked, path => {
        if (takesSocket('view', path)) assert.equal(path, '/websockify')
        if (takesSocket('cdp', path) && path.length > 1) assert(path.startsWith('/devtools/'))
        if (takesSocket('rpc', path)) assert(path.startsWith('/') && path.length > 1)
      }),
    )
  })
})
