import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseTable, planOf, type TableName } from './plan.ts'

const bridge = 'br-0123456789ab'
const fwd = 'PORTHOLE-FWD-0123456789ab'
const input = 'PORTHOLE-IN-0123456789ab'
const wanted = [{ bridge, forward: { name: fwd, rules: ['-j X'] }, input: { name: input, rules: ['-j Y'] } }]
const docker = [
  '-P FORWARD DROP',
  '-N DOCKER-USER',
  '-A FORWARD -j DOCKER-USER',
  '-A FORWARD -j DOCKER-ISOLATION-STAGE-1',
  '-A DOCKER-USER -j RETURN',
]
const chains = [`-N ${fwd}`, `-N ${input}`, `-A ${fwd} -j X`, `-A ${input} -j Y`]
const inPlace = [...[`-A FORWARD -i ${bridge} -j ${fwd}`, `-A INPUT -i ${bridge} -j ${input}`], ...docker, ...chains]
const plan = (lines: readonly string[], gone: readonly string[] = [], table: TableName = 'security') =>
  planOf(
    parseTable(table, lines.join('\n')),
    wanted,
    (chain, present) => present.join() === chain.rules.map(rule => `-A ${chain.name} ${rule}`).join(),
    name => !gone.includes(name),
  )?.script.split('\n')

test('an empty table gets chains and the way to them in one step', () => {
  assert.deepEqual(plan(['-P FORWARD ACCEPT']), [
    '*security',
    `:${fwd} - [0:0]`,
    `-A ${fwd} -j X`,
    `-I FORWARD 1 -i ${bridge} -j ${fwd}`,
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

test("an earlier version's way from Docker's chain is taken away, and nothing else of that chain", () => {
  const former = `-i ${bridge} -j ${fwd}`
  const lines = [...docker, ...chains, `-A DOCKER-USER ${former}`, `-A INPUT -i ${bridge} -j ${input}`]
  const made = plan(lines, [], 'filter') ?? assert.fail('left alone')
  assert.equal(made[0], '*filter')
  assert.deepEqual(
    made.filter(line => / (FORWARD|DOCKER)/.test(line)),
    [`-D DOCKER-USER ${former}`, `-I FORWARD 1 ${former}`],
  )
  const gone = plan(
    [...inPlace, '-N PORTHOLE-FWD-ffffffffffff', `-A DOCKER-USER -i br-ffffffffffff -j PORTHOLE-FWD-ffffffffffff`],
    ['br-ffffffffffff'],
  )
  assert.deepEqual(gone?.slice(1, -2), [
    '-D DOCKER-USER -i br-ffffffffffff -j PORTHOLE-FWD-ffffffffffff',
    '-F PORTHOLE-FWD-ffffffffffff',
    '-X PORTHOLE-FWD-ffffffffffff',
  ])
})

test('a rule put before the way is overtaken, another agent is not', () => {
  const first = (rule: string) => [rule, ...inPlace]
  assert.ok(plan(first('-A INPUT -j ACCEPT'))?.includes(`-I INPUT 1 -i ${bridge} -j ${input}`))
  assert.ok(plan(first('-A FORWARD -j DOCKER-USER'))?.includes(`-I FORWARD 1 -i ${bridge} -j ${fwd}`))
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
