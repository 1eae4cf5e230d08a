import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { addressIn, freeRange, hostRanges, routedRanges } from './ranges.ts'

describe('the range of addresses for hosts', () => {
  it('is the first that no route of this machine leads into, or out of', () => {
    const candidates = ['10.213.4.0/24', '10.213.5.0/24', '10.213.6.0/24']
    assert.equal(freeRange(candidates, []), '10.213.4.0/24')
    assert.equal(freeRange(candidates, ['10.213.4.77', '192.168.0.0/16']), '10.213.5.0/24')
    assert.equal(freeRange(candidates, ['10.213.4.0/23']), '10.213.6.0/24')
    assert.equal(freeRange(candidates, ['10.213.4.128/25', '10.213.6.0/24']), '10.213.5.0/24')
    assert.equal(freeRange(candidates, ['10.0.0.0/8']), undefined)
  })

  it('is read from the routes, without the way to everywhere', () => {
    const json = '[{"dst":"default","dev":"eth0"},{"dst":"172.17.0.0/16"},{"dst":"10.1.2.3","type":"local"}]'
    assert.deepEqual(routedRanges(json), ['172.17.0.0/16', '10.1.2.3'])
    assert.deepEqual(routedRanges(''), [])
  })

  it('begins at a place that depends on the installation, and tries each once', () => {
    assert.equal(hostRanges('abcd0f')[0], '10.213.15.0/24')
    assert.equal(new Set(hostRanges('abcdff')).size, 256)
    assert.equal(addressIn('10.213.15.0/24', 2), '10.213.15.2')
    assert.equal(addressIn('10.214.0.0/16', 1), '10.214.0.1')
  })
})
