import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseTable, planOf } from './plan.ts'

const bridge = 'br-0123456789ab'
const fwd = 'PORTHOLE-FWD-0123456789ab'
const input = 'PORTHOLE-IN-0123456789ab'
const wanted = [{ bridge, forward: { name: fwd, rules: ['-j X'] }, input: { name: input, rules: ['-j Y'] } }]
const docker = [
  '-P FORWARD DROP',
  '-N DOCKER-USER',
  '-A FORWARD -j DOCKER-USER',
  '-A FORWARD -j DOCKER-ISOLATION-STAGE-1',
]
const inPlace = [
  ...docker,
  ...[`-N ${fwd}`, `-N ${input}`, `-A ${fwd} -j X`, `-A ${input} -j Y`],
  ...[`-A DOCKER-USER -i ${bridge} -j ${fwd}`, `-A INPUT -i ${bridge} -j ${input}`],
]
const plan = (lines: readonly string[], gone: readonly string[] = []) =>
  planOf(
    parseTable(lines.join('\n')),
    wanted,
    (chain, present) => present.join() === chain.rules.map(rule => `-A ${chain.name} ${rule}`).join(),
    name => !gone.includes(name),
  )?.script.split('\n')

test('an empty table gets chains and the way to them in one step', () => {
  assert.deepEqual(plan(docker), [
    '*filter',
    `:${fwd} - [0:0]`,
    `-A ${fwd} -j X`,
    `-I DOCKER-USER 1 -i ${bridge} -j ${fwd}`,
    `:${input} - [0:0]`,
    `-A ${input} -j Y`,
    `-I INPUT 1 -i ${bridge} -j ${input}`,
    'COMMIT',
    '',
  ])
})

test('what is in place is left alone', () => {
  assert.equal(plan(inPlace), undefined)
})

test('where nothing leads to DOCKER-USER the way starts in FORWARD', () => {
  assert.ok(plan(['-P FORWARD ACCEPT'])?.includes(`-I FORWARD 1 -i ${bridge} -j ${fwd}`))
  const flushed = inPlace.filter(line => !line.startsWith('-A FORWARD'))
  assert.ok(plan(flushed)?.includes(`-D DOCKER-USER -i ${bridge} -j ${fwd}`))
  assert.ok(plan(flushed)?.includes(`-I FORWARD 1 -i ${bridge} -j ${fwd}`))
})

test('a rule put before the way is overtaken, another agent is not', () => {
  const first = (rule: string) => [...docker, rule, ...inPlace.slice(docker.length)]
  assert.ok(plan(first('-A INPUT -j ACCEPT'))?.includes(`-I INPUT 1 -i ${bridge} -j ${input}`))
  assert.equal(plan(first('-A INPUT -i br-ffffffffffff -j PORTHOLE-IN-ffffffffffff')), undefined)
})

test('a changed chain is made anew, a doubled way is reduced to one', () => {
  assert.ok(plan(inPlace.map(line => line.replace('-j X', '-j ACCEPT')))?.includes(`-A ${fwd} -j X`))
  const doubled = plan([...inPlace, `-A INPUT -i ${bridge} -j ${input}`])
  assert.equal(doubled?.filter(line => line === `-D INPUT -i ${bridge} -j ${input}`).length, 2)
})

test("chains of a network that is gone go too, another agent's stay", () => {
  const other = 'PORTHOLE-IN-ffffffffffff'
  const lines = [...inPlace, `-N ${other}`, `-A INPUT -i br-ffffffffffff -j ${other}`]
  assert.equal(plan(lines), undefined)
  assert.deepEqual(plan(lines, ['br-ffffffffffff'])?.slice(1, -2), [
    `-D INPUT -i br-ffffffffffff -j ${other}`,
    `-F ${other}`,
    `-X ${other}`,
  ])
})
