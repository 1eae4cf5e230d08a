import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Secret } from './evidence-folder.ts'
import { createLeakSearch, formsOf } from './leaks.ts'

const value = 'pw/of+the "house"?'
const secrets: Secret[] = [{ kind: 'PORTHOLE_SECRET', from: 'this-test', value }]
const name = 'PORTHOLE_SECRET'

describe('the search for secrets', () => {
  const search = createLeakSearch(secrets)

  it('names the line and what is in it, and shows the line without it', () => {
    const [leak, ...others] = search(`fine\n{"a":1} ${value} {"b":2}\nfine`)
    assert.deepEqual(others, [])
    assert.deepEqual(leak, {
      line: 2,
      names: [`${name} of this-test`],
      masked: `{"a":1} [${name} of this-test] {"b":2}`,
    })
  })

  for (const [form, text] of [
    ['a URL', `GET /x?y=${encodeURIComponent(value)}&z`],
    ['JSON', JSON.stringify({ value })],
    ['base64', Buffer.from(value).toString('base64')],
    ['the base64 of a user and a password', Buffer.from(`me:${value}`).toString('base64')],
    ['base64url, with more behind it', Buffer.from(`12${value}more`).toString('base64url')],
  ] as const)
    it(`finds it in ${form}`, () => {
      const [leak] = search(`before\nat ${text} end`)
      assert.equal(leak?.line, 2)
      for (const { form } of formsOf(value)) assert(!leak.masked.includes(form), leak.masked)
    })

  it('finds each of several in a line, and every line that has one', () => {
    const two = createLeakSearch([...secrets, { kind: 'cookie', from: 'this-test', value: 'another one' }])
    assert.deepEqual(
      two(`${value} another one\n\nanother one`).map(({ line, names }) => [line, names.length]),
      [
        [1, 2],
        [3, 1],
      ],
    )
  })

  it('shows nothing of one that runs on into the next line', () => {
    const lines = createLeakSearch([{ kind: 'host key', from: 'this-test', value: 'line one\nline two' }])
    const leaks = lines('say line one\nline two, then\nfine')
    assert(leaks.length >= 1)
    assert(!/line (one|two)/.test(leaks.map(({ masked }) => masked).join()), JSON.stringify(leaks))
  })

  it('shows of a long line what stands around the secret', () => {
    const [leak] = search(`${'x'.repeat(5000)} here: ${value} ${'y'.repeat(5000)}`)
    assert.match(leak?.masked ?? '', /here: \[PORTHOLE_SECRET/)
    assert((leak?.masked.length ?? 0) < 1000)
  })
})

describe('what looks like a secret is found without being known', () => {
  const search = createLeakSearch([])
  const random = (n: number) => 'aB3_-'.repeat(20).slice(0, n)
  const jwt = `eyJ${random(20)}.eyJ${random(40)}.${random(86)}`

  for (const [what, text] of [
    ['a JWT', `token ${jwt} end`],
    ['a JWT without its signature', `token eyJ${random(20)}.eyJ${random(40)} end`],
    ['a ticket', `/view/x?ticket=tk_${random(43)}`],
    ['a join token', `{"token":"jt_${random(43)}"}`],
    ['a database URL', 'cannot reach postgres://porthole:hunter22@db:5432/x'],
    ['a container key in an environment', 'Env: [ "PORTHOLE_KEY=c2VjcmV0LWtleQ" ]'],
    ['a container key in headers', '{"x-porthole-key":"c2VjcmV0LWtleQ"}'],
    ['a container key in JSON in JSON', '{\\"x-porthole-key\\":\\"c2VjcmV0LWtleQ\\"}'],
    ['a container key as Node prints it', "'x-porthole-key': 'c2VjcmV0LWtleQ'"],
    ['a private JWK', `{"kty":"OKP","d":"${random(43)}"}`],
    ['a PEM key', '-----BEGIN PRIVATE KEY-----\nMIGHAgEA\n-----END PRIVATE KEY-----'],
  ] as const)
    it(what, () => {
      const leaks = search(`fine\n${text}\nfine`)
      assert.equal(leaks.length, 1, JSON.stringify(leaks))
      assert.equal(leaks[0]?.line, 2)
      assert(!/hunter22|c2Vj|aB3_-aB3_|MIGH/.test(leaks[0]?.masked ?? ''), leaks[0]?.masked)
    })

  it('and what is masked, or is only a name, is not', () => {
    for (const text of [
      'PORTHOLE_KEY=[hidden] was given',
      'postgres://porthole:***@db/x',
      'send the header x-porthole-key with each request',
      '{"id":"abc","kid":"0123456789012345678901234"}',
      'rt_01K0000000000000000000000A',
    ])
      assert.deepEqual(search(text), [], text)
  })
})
