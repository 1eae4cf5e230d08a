import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseEdgeTarget } from './route.ts'

const hash = '2bd806c97f0e00af'

describe('parseEdgeTarget', () => {
  it('tells door, owner and the rest', () => {
    assert.deepEqual(parseEdgeTarget(`/cdp/${hash}/devtools/page/1?a=/../b`), {
      door: 'cdp',
      ownerHash: hash,
      rest: '/devtools/page/1?a=/../b',
    })
    assert.deepEqual(parseEdgeTarget(`/cdp/${hash}`), { door: 'cdp', ownerHash: hash, rest: '' })
  })

  const refused = [
    '/',
    '/view',
    `/view/${hash}x/vnc.html`,
    `/view/${hash.toUpperCase()}/vnc.html`,
    `/View/${hash}/vnc.html`,
    `/view/${hash}/../${hash.replace('2', '3')}/vnc.html`,
    `/view/${hash}/%2e%2e/x`,
    `/view/${hash}/.%2E/x`,
    `/view/${hash}/x/..`,
    `/view/${hash}/./x`,
    `/view/${hash}//x`,
    `/view/${hash}/a%2fb`,
    `/view/${hash}/a\\b`,
    `/view/${hash}/a%5Cb`,
    `/view/${hash}/a%00`,
    `http://elsewhere/view/${hash}/vnc.html`,
    `//view/${hash}/vnc.html`,
    `/x/../view/${hash}/vnc.html`,
  ]
  for (const target of refused) it(`knows nobody at ${target}`, () => assert.equal(parseEdgeTarget(target), undefined))
})
