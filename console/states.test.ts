import assert from 'node:assert/strict'
import { test } from 'node:test'
import { groups, lookOf, matches } from './states.js'

const everyState = ['pending', 'starting', 'running', 'paused', 'stopping', 'stopped', 'failed', 'lost', 'deleting']
const runtime = {
  id: 'rt_01KAJ8',
  owner: 'alice',
  ownerHash: '2bd806c97f0e00af',
  spec: 'browser',
  host: 'host_7',
  mode: 'docker-per-principal',
  state: 'running',
  labels: { team: 'growth' },
}

test('every state can be deleted, but not twice', () => {
  for (const state of everyState) assert.equal(lookOf(state).more.includes('delete'), state !== 'deleting', state)
})

test('only what can be seen is offered to be opened', () => {
  const openable = everyState.filter(state => lookOf(state).main.includes('open'))
  assert.deepEqual(openable, ['starting', 'running', 'paused'])
})

test('what rests or broke can be started', () => {
  assert.deepEqual(
    everyState.filter(state => lookOf(state).main.includes('start')),
    ['stopped', 'failed', 'lost'],
  )
})

test('a state of a newer gateway is shown, and deletable', () => {
  assert.deepEqual(lookOf('hibernating'), { tone: 'still', main: [], more: ['delete'] })
})

test('every state belongs to one group besides "all"', () => {
  for (const state of everyState) assert.equal(groups.filter(group => group.states?.includes(state)).length, 1, state)
})

test('a search finds owners, hosts and labels, and all of its words must match', () => {
  const found = (words: string, group = 'all') => matches(runtime, { group, words })
  assert.ok(found(''))
  assert.ok(found('ALI'))
  assert.ok(found('growth host_7'))
  assert.ok(!found('growth bob'))
  assert.ok(found('alice', 'running'))
  assert.ok(!found('alice', 'broken'))
})
