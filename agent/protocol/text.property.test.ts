import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { hasControlCharacter, isWellFormed, pythonStrip } from './text.ts'

/** What `str.isspace` is true of, written as a class. */
const space = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]'
const edges = new RegExp(`^${space}+|${space}+$`, 'g')
const text = fc
  .array(
    fc.oneof(
      fc.constantFrom(' ', '\t', '\u001c', '\u0085', '\u00a0', '\u3000', '\ufeff', '\u200b', '\u180e', '\ud800'),
      fc.string({ unit: 'binary' }),
    ),
  )
  .map(parts => parts.join(''))

describe('pythonStrip', () => {
  it('takes white space off the ends and nothing else', () => {
    fc.assert(
      fc.property(text, text => assert.equal(pythonStrip(text), text.replace(edges, ''))),
      { numRuns: 1000 },
    )
  })

  it('does nothing the second time, and nothing to what is inside', () => {
    fc.assert(
      fc.property(text, text => {
        const once = pythonStrip(text)
        assert.equal(pythonStrip(once), once)
        assert(text.includes(once))
        assert.equal(pythonStrip(` ${text}\u3000`), once)
        assert.equal(pythonStrip(`a${text}b`), `a${text}b`)
      }),
    )
  })

  it('takes no longer for much white space than for much text', () => {
    const startedAt = performance.now()
    pythonStrip(`a${' '.repeat(1_000_000)}b`)
    pythonStrip(' '.repeat(1_000_000))
    assert(performance.now() - startedAt < 1000)
  })
})

describe('what can be a name', () => {
  it('is what UTF-8 carries there and back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.boolean(), (text, isBroken) => {
        const given = isBroken ? `${text}\udc00x` : text
        assert.equal(isWellFormed(given), Buffer.from(given, 'utf8').toString('utf8') === given)
      }),
    )
  })

  it('has no code point that a terminal obeys', () => {
    fc.assert(
      fc.property(text, text => {
        const isControl = (code: number) => code < 32 || (code >= 127 && code < 160)
        assert.equal(
          hasControlCharacter(text),
          [...text].some(character => isControl(character.codePointAt(0) ?? 0)),
        )
      }),
    )
  })
})
