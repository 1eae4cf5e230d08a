import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeal, SealError } from './seal.ts'

describe('seal', () => {
  const seal = createSeal('a'.repeat(32))

  it('opens what it closed', async () => {
    const sealed = await seal.close('runtime-env', '{"A":"ü"}')
    assert(!sealed.includes('ü'))
    assert.equal(await seal.open('runtime-env', sealed), '{"A":"ü"}')
  })

  it('opens nothing that was closed for another purpose, with another secret, or changed', async () => {
    const sealed = await seal.close('runtime-env', 'x')
    await assert.rejects(seal.open('signing-key', sealed), SealError)
    await assert.rejects(createSeal('b'.repeat(32)).open('runtime-env', sealed), SealError)
    await assert.rejects(seal.open('runtime-env', `${sealed.slice(0, -4)}AAAA`), SealError)
  })
})
