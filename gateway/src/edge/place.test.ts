import assert from 'node:assert/strict'
import { it } from 'node:test'
import { placeOf } from './place.ts'

const place = placeOf('https://b.example.com/base', 'rpc', '2bd806c97f0e00af', '/a/page?x=1')
const own = '/base/rpc/2bd806c97f0e00af'

for (const [address, followed] of [
  ['/v1/hosts/join-tokens', `${own}/v1/hosts/join-tokens`],
  ['../../../v1/runtimes', `${own}/v1/runtimes`],
  ['next?y=2#z', `${own}/a/next?y=2#z`],
  ['https://b.example.com/v1/tokens', `${own}/v1/tokens`],
  ['//b.example.com/v1/tokens', `${own}/v1/tokens`],
  ['https://elsewhere.example/', 'https://elsewhere.example/'],
  ['http://[', undefined],
] as const)
  it(`a redirect to ${address} leads to ${followed ?? 'nowhere'}`, () => {
    assert.equal(place.toPublic(address), followed)
  })
