import assert from 'node:assert/strict'
import { it } from 'node:test'
import { rulesNaming } from './bridge.ts'

it("only the bridge's own rules are taken out of a table", () => {
  const listing = `-P FORWARD DROP
-N DOCKER-USER
-A FORWARD -i porthole0a1b2c -s 10.213.7.0/24 -j ACCEPT
-A FORWARD -i porthole0a1b2cd -j ACCEPT
-A FORWARD -j DOCKER-USER
-A FORWARD -o porthole0a1b2c -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
`
  assert.deepEqual(rulesNaming('porthole0a1b2c', listing), [
    ['-D', 'FORWARD', '-i', 'porthole0a1b2c', '-s', '10.213.7.0/24', '-j', 'ACCEPT'],
    ['-D', 'FORWARD', '-o', 'porthole0a1b2c', '-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED', '-j', 'ACCEPT'],
  ])
})
