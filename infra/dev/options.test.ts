import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parsePort, parseUp, wordsFor } from './options.ts'

describe('the words after npm run up --', () => {
  it('none of them start one host in the foreground', () => {
    assert.deepEqual(parseUp([]), { kind: 'up', detach: false, hosts: 1, gateways: 1 })
    assert.deepEqual(parseUp(['--hosts', '1']), parseUp([]))
  })

  it('--detach returns when ready', () => {
    assert.deepEqual(parseUp(['--detach']), { kind: 'up', detach: true, hosts: 1, gateways: 1 })
  })

  it('--help asks for help, whatever else is there', () => {
    assert.deepEqual(parseUp(['--help', '--detach']), { kind: 'help' })
  })

  it('several hosts and gateways are understood, also as passed on to the process that holds them', () => {
    const words = ['--hosts', '3', '--gateways=2']
    assert.deepEqual(parseUp(words), { kind: 'up', detach: false, hosts: 3, gateways: 2 })
    assert.deepEqual(parseUp(wordsFor({ hosts: 3, gateways: 2 })), parseUp(words))
  })

  for (const words of [
    ['--hosts', '0'],
    ['--hosts', '-1'],
    ['--hosts', 'three'],
    ['--hosts', '1.5'],
    ['--hosts', '100'],
    ['--gateways', '0'],
    ['--hosts'],
    ['--detached'],
    ['now'],
    ['--detach=yes'],
  ]) {
    it(`refused with the usage: ${words.join(' ')}`, () => {
      const request = parseUp(words)
      assert.equal(request.kind, 'refused')
      assert.match('message' in request ? request.message : '', /npm run up \[-- options\]/)
    })
  }
})

describe('PORT', () => {
  it('defaults to 4747, also when blank', () => {
    assert.equal(parsePort(undefined), 4747)
    assert.equal(parsePort(' '), 4747)
  })
  it('is a number from 0 to 65535', () => {
    assert.equal(parsePort('4800'), 4800)
    assert.equal(parsePort('0'), 0)
    for (const value of ['65536', '-1', '80a', '1e3', '0x50']) assert.equal(typeof parsePort(value), 'object', value)
  })
})
