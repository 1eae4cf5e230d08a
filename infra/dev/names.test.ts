import assert from 'node:assert/strict'
import { it } from 'node:test'
import { prefixesBeside } from './names.ts'

it('a stack that is alone on its engine has the usual names', () => {
  assert.deepEqual(prefixesBeside(['postgres', 'my-browser-use-browser-1'], 'a1b2c3'), {
    containerPrefix: 'browser-use-browser-',
    volumePrefix: 'browser-use-profile-',
  })
})

it("a stack beside another one's containers or profiles has names of its own", () => {
  for (const name of ['browser-use-browser-2a97516c354b6884', 'browser-use-profile-2a97516c354b6884'])
    assert.deepEqual(prefixesBeside([name], 'a1b2c3'), {
      containerPrefix: 'browser-use-browser-a1b2c3-',
      volumePrefix: 'browser-use-profile-a1b2c3-',
    })
})
