import assert from 'node:assert/strict'
import { test } from 'node:test'
import { families, networkOfChain, rulesOf } from './rules.ts'

const id = '0123456789ab'.repeat(5)
const fence = { id, bridge: 'br-0123456789ab', egress: 'internet' } as const
const forwardOf = (family: 'ipv4' | 'ipv6', names: string[] = []) =>
  rulesOf(fence, family, names, 'answer').forward.rules

test('everything that is not the internet is refused, the rest passes', () => {
  const rules = forwardOf('ipv4')
  for (const range of ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '169.254.0.0/16']) {
    assert.ok(rules.includes(`-d ${range} -j REJECT --reject-with icmp-admin-prohibited`), range)
  }
  assert.ok(!rules.some(rule => rule.startsWith('-j ')))
  assert.ok(forwardOf('ipv6').includes('! -d 2000::/3 -j REJECT --reject-with icmp6-adm-prohibited'))
})

test('only replies pass first: what a container opened itself is held to every rule', () => {
  for (const family of families) {
    for (const refusal of ['answer', 'drop'] as const) {
      const { forward, input } = rulesOf(fence, family, [], refusal)
      for (const { rules } of [forward, input]) assert.match(rules[0] ?? '', /--ctdir REPLY -j RETURN$/)
    }
  }
})

test('the host refuses everything that is not asked of its name server', () => {
  const { rules } = rulesOf(
    fence,
    'ipv4',
    ['10.0.0.2', 'fd00::2', 'fe80::1%eth0', '1.1.1.1; -j ACCEPT'],
    'answer',
  ).input
  assert.deepEqual(rules.slice(1), [
    '-d 10.0.0.2/32 -p udp -m udp --dport 53 -j RETURN',
    '-d 10.0.0.2/32 -p tcp -m tcp --dport 53 -j RETURN',
    '-p tcp -j REJECT --reject-with tcp-reset',
    '-j REJECT --reject-with icmp-admin-prohibited',
  ])
  assert.ok(forwardOf('ipv6', ['fd00::2']).includes('-d fd00::2/128 -p udp -m udp --dport 53 -j RETURN'))
})

test('without egress nothing is let out, names neither', () => {
  const { forward } = rulesOf({ ...fence, egress: 'none' }, 'ipv4', ['10.0.0.2'], 'answer')
  assert.deepEqual(forward.rules.slice(1), [
    '-p tcp -j REJECT --reject-with tcp-reset',
    '-j REJECT --reject-with icmp-admin-prohibited',
  ])
})

test('what is answered is what is dropped, for every kind of egress', () => {
  const matchOf = (rule: string) => rule.replace(/(-p tcp )?-j (REJECT.*|DROP)$/, '-j refused')
  for (const egress of ['internet', 'none'] as const) {
    for (const family of families) {
      const [answer, drop] = (['answer', 'drop'] as const).map(refusal => {
        const { forward, input } = rulesOf({ ...fence, egress }, family, ['10.0.0.2', 'fd00::2'], refusal)
        return [forward, input].map(({ name, rules }) => [name, ...new Set(rules.map(matchOf))])
      })
      assert.deepEqual(answer, drop)
    }
  }
  // The kernel takes REJECT in the filter table alone.
  const { forward, input } = rulesOf(fence, 'ipv4', [], 'drop')
  assert.ok(![...forward.rules, ...input.rules].some(rule => rule.includes('REJECT')))
})

test('chains have names that the programs take, and are known again by them', () => {
  const { forward, input } = rulesOf(fence, 'ipv4', [], 'drop')
  for (const { name } of [forward, input]) {
    assert.ok(name.length < 29)
    assert.equal(networkOfChain(name), '0123456789ab')
  }
  assert.equal(networkOfChain('DOCKER-USER'), undefined)
})
