import assert from 'node:assert/strict'
import { it } from 'node:test'
import { createHopTokens, type HopPlace } from './hop-tokens.ts'

const place: HopPlace = { host: 'h1', runtime: 'rt_1', generation: 1, access: 'control' }

/** Signs with the number of the signature. */
const bench = () => {
  let at = 1_700_000_000_000
  const signed: object[] = []
  const faults: Error[] = []
  const sign = async (claims: object, options: object) => {
    signed.push({ ...claims, ...options })
    const fault = faults.pop()
    if (fault) throw fault
    return `token ${signed.length}`
  }
  const hops = createHopTokens({ sign }, () => at)
  const pass = (ms: number) => {
    at += ms
  }
  return { hops, signed, faults, pass }
}

it('a token is signed once, for the host, the runtime, the generation and the access', async () => {
  const { hops, signed } = bench()
  const tokens = await Promise.all(Array.from({ length: 100 }, () => hops.to(place)))
  assert.deepEqual(new Set(tokens), new Set(['token 1']))
  assert.deepEqual(signed, [{ use: 'hop', sub: 'rt_1', gen: 1, access: 'control', audience: 'h1', seconds: 60 }])
})

for (const [what, other] of [
  ['host', { host: 'h2' }],
  ['runtime', { runtime: 'rt_2' }],
  ['generation', { generation: 2 }],
  ['access', { access: 'view' }],
] as const)
  it(`another ${what} has a token of its own`, async () => {
    const { hops, signed } = bench()
    assert.notEqual(await hops.to(place), await hops.to({ ...place, ...other }))
    assert.equal(signed.length, 2)
  })

it('a token is not used in its last quarter of a minute', async () => {
  const { hops, pass } = bench()
  await hops.to(place)
  pass(44_999)
  assert.equal(await hops.to(place), 'token 1')
  pass(1)
  assert.equal(await hops.to(place), 'token 2')
})

it('a clock that is set back does not make a token last longer', async () => {
  const { hops, pass } = bench()
  await hops.to(place)
  pass(-3_600_000)
  assert.equal(await hops.to(place), 'token 2')
})

it('a signature that failed is tried again', async () => {
  const { hops, faults } = bench()
  faults.push(new Error('no key'))
  await assert.rejects(hops.to(place), /no key/)
  assert.equal(await hops.to(place), 'token 2')
})

it('none is used after all were forgotten', async () => {
  const { hops } = bench()
  await hops.to(place)
  hops.forget()
  assert.equal(await hops.to(place), 'token 2')
})
