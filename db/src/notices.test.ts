import assert from 'node:assert/strict'
import { describe, it, mock } from 'node:test'
import { gatherNotices, holdNotices, type Notice, onceInAWhile } from './notices.ts'

describe('notices', () => {
  const recorder = () => {
    const batches: string[][] = []
    const script = { send: async () => {} }
    const notices = gatherNotices(async (batch: readonly Notice[]) => {
      batches.push(batch.map(({ channel, payload }) => `${channel} ${payload}`))
      await script.send()
    })
    return { batches, script, notices }
  }
  const until = async (isSo: () => boolean) => {
    const deadline = performance.now() + 5000
    while (!isSo()) {
      assert(performance.now() < deadline, 'it did not come to that in 5 s')
      await new Promise(resolve => setTimeout(resolve, 1))
    }
  }

  it('that come together are sent together, each once', async () => {
    const { batches, notices } = recorder()
    for (const payload of ['1', '2', '1']) notices.tell('a', payload)
    notices.tell('b', '1')
    assert.deepEqual(batches, [])
    await until(() => batches.length > 0)
    assert.deepEqual(batches, [['a 1', 'a 2', 'b 1']])
    await notices.close(1000)
  })

  it('that are told while others are sent go next', async () => {
    const { batches, script, notices } = recorder()
    const sent = Promise.withResolvers<void>()
    script.send = () => sent.promise
    notices.tell('a', '1')
    await until(() => batches.length === 1)
    notices.tell('a', '1')
    notices.tell('a', '2')
    sent.resolve()
    await until(() => batches.length === 2)
    assert.deepEqual(batches[1], ['a 1', 'a 2'])
    await notices.close(1000)
  })

  it('that could not be sent are sent again, with what was told since', async () => {
    const { batches, script, notices } = recorder()
    script.send = async () => {
      throw new Error('away')
    }
    notices.tell('a', '1')
    await until(() => batches.length === 1)
    notices.tell('a', '2')
    script.send = async () => {}
    await until(() => batches.length === 2)
    assert.deepEqual(batches, [['a 1'], ['a 1', 'a 2']])
    await notices.close(1000)
  })

  it('are bounded while they cannot be sent: the oldest go first', async () => {
    const { batches, script, notices } = recorder()
    const sent = Promise.withResolvers<void>()
    script.send = () => sent.promise
    notices.tell('a', 'first')
    await until(() => batches.length === 1)
    for (let n = 0; n < 20_100; n++) notices.tell('a', `${n}`)
    sent.resolve()
    await notices.close(5000)
    const told = batches.slice(1).flat()
    assert.equal(told.length, 20_000)
    assert.equal(told.at(-1), 'a 20099')
  })

  it('that wait when it is closed are sent still, within a time', async () => {
    const { batches, script, notices } = recorder()
    notices.tell('a', '1')
    await notices.close(1000)
    assert.deepEqual(batches, [['a 1']])
    const stuck = recorder()
    stuck.script.send = () => new Promise(() => {})
    stuck.notices.tell('a', '1')
    await stuck.notices.close(20)
    script.send = async () => assert.fail('closed')
    notices.tell('a', '2')
    assert.equal(batches.length, 1)
  })

  it('that say the same again and again are one at once, and one for all that came since', async t => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const heard = t.mock.fn()
    const { say, stop } = onceInAWhile(heard, 500)
    for (let n = 0; n < 23; n++) say()
    assert.equal(heard.mock.callCount(), 1)
    t.mock.timers.tick(500)
    assert.equal(heard.mock.callCount(), 2)
    t.mock.timers.tick(500)
    say()
    assert.equal(heard.mock.callCount(), 3)
    say()
    stop()
    t.mock.timers.tick(5000)
    say()
    assert.equal(heard.mock.callCount(), 3)
  })

  it('of a transaction are held until it says so', () => {
    const tell = mock.fn()
    const held = holdNotices({ tell })
    held.tell('a', '1')
    assert.equal(tell.mock.callCount(), 0)
    held.release()
    assert.deepEqual(tell.mock.calls[0]?.arguments, ['a', '1'])
  })
})
