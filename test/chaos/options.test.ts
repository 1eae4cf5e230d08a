import assert from 'node:assert/strict'
import { it } from 'node:test'
import { parseChaos, wordsOf } from './options.ts'

const parse = (words: string) => parseChaos(words.split(' ').filter(Boolean), ['full disk', 'partition'], () => 42)

it('takes everything that can be said', () => {
  assert.deepEqual(parse(''), {
    ...{ kind: 'run', forSeconds: undefined, seed: 42, seconds: 60, owners: 4, warm: false, write: false },
    faults: ['full disk', 'partition'],
  })
  assert.deepEqual(parse('--minutes 20 --seed 7 --seconds 30 --owners 2 --faults partition --warm --write'), {
    ...{
      kind: 'run',
      forSeconds: 1200,
      seed: 7,
      seconds: 30,
      owners: 2,
      warm: true,
      write: true,
      faults: ['partition'],
    },
  })
  assert.deepEqual(parse('--help'), { kind: 'help' })
})

it('says with which words a schedule comes again', () => {
  const all = ['full disk', 'partition']
  for (const words of [
    '--seed 7 --seconds 30 --owners 2',
    '--seed 7 --seconds 30 --owners 2 --warm',
    '--seed 7 --seconds 30 --owners 2 --faults "partition"',
  ]) {
    const request = parseChaos(words.replaceAll('"', '').split(' '), all, () => 0)
    assert(request.kind === 'run')
    assert.equal(wordsOf(request, all), words)
  }
})

it('says what is wrong with anything else, and what there is', () => {
  for (const [words, expected] of [
    ['--minutes 0', /--minutes takes a whole number from 1/],
    ['--seconds x', /--seconds takes/],
    ['--owners 999', /--owners takes/],
    ['--seed -1', /seed/],
    ['--seed 4294967296', /--seed takes/],
    ['--faults fire', /no fault 'fire'/],
    ['--fire', /--fire/],
  ] as const) {
    const request = parse(words)
    assert(request.kind === 'refused', words)
    assert.match(request.message, expected)
    assert.match(request.message, /npm run chaos/)
  }
})
