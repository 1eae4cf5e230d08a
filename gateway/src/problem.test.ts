import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { problemOf } from './problem.ts'

const withCode = (code: string) => Object.assign(new Error(code), { code })

describe('what the database throws', () => {
  for (const code of ['ECONNREFUSED', 'CONNECT_TIMEOUT', '57P01', '53100', '53200', '53300', '25006', '08006'])
    it(`is a 503 when it is ${code}, however deep`, () => {
      const { status, code: said } = problemOf(new Error('query', { cause: withCode(code) }))
      assert.deepEqual([status, said], [503, 'database-unavailable'])
    })

  for (const code of ['22003', '22P05', '23505', '40P01', '42601'])
    it(`is ours when it is ${code}`, () => assert.equal(problemOf(withCode(code)).code, 'internal'))
})
