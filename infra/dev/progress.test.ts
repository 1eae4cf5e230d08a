import assert from 'node:assert/strict'
import { describe, it, mock } from 'node:test'
import { createProgress, inStep } from './progress.ts'

function screen(live: boolean) {
  const written: string[] = []
  const write = (text: string) => void written.push(text)
  return { written, write, live, columns: () => 40 }
}

describe('progress in a pipe', () => {
  it('is one line per step, with its time and what came of it', async () => {
    const pipe = screen(false)
    let now = 0
    const progress = createProgress(pipe, () => now)
    await inStep(
      progress,
      'Postgres',
      async () => {
        now = 1_540
        return 'port 5432'
      },
      told => told,
    )
    assert.deepEqual(pipe.written, ['✓ Postgres            1.5 s  port 5432\n'])
  })

  it('says something every 10 s', t => {
    mock.timers.enable({ apis: ['setInterval'] })
    t.after(() => mock.timers.reset())
    const pipe = screen(false)
    let now = 0
    const step = createProgress(pipe, () => now).step('Browser image')
    step.update('step 3 of 9')
    for (; now < 25_000; now += 500) mock.timers.tick(500)
    assert.deepEqual(
      pipe.written,
      ['…', '…'].map((mark, i) => `${mark} Browser image      ${i + 1}0.0 s  step 3 of 9\n`),
    )
    step.done()
  })

  it('says that a step failed, and hands the failure on', async () => {
    const pipe = screen(false)
    const progress = createProgress(pipe, () => 0)
    await assert.rejects(
      inStep(progress, 'Agent', () => Promise.reject(new Error('no room'))),
      /no room/,
    )
    assert.match(pipe.written.join(''), /^✗ Agent/)
  })
})

describe('progress on a terminal', () => {
  it('keeps a live line per running step, within the width, below what is finished', () => {
    const terminal = screen(true)
    const progress = createProgress(terminal, () => 0)
    const image = progress.step('Browser image')
    image.update('x'.repeat(100))
    const gateway = progress.step('Gateway')
    gateway.done('http://127.0.0.1:4747')
    image.done()
    const live = terminal.written.filter(text => text.includes('Browser image') && !text.startsWith('✓'))
    assert.ok(live.length >= 2)
    assert.ok(live.every(text => text.trimEnd().length < 40))
    assert.match(terminal.written.join(''), /✓ Gateway .*http/)
    assert.equal(terminal.written.at(-1)?.includes('⠋'), false)
  })
})
