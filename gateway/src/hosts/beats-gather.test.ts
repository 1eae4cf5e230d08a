import assert from 'node:assert/strict'
import { test } from 'node:test'
import { problemOf } from '../problem.ts'
import { GatherFull, gather } from './beats-gather.ts'

/** Answers when told to, and remembers what it was asked. */
const slowDatabase = () => {
  const asked: number[][] = []
  const open: { resolve(): void; reject(error: Error): void }[] = []
  let seen = Promise.withResolvers<void>()
  return {
    asked,
    ask: async (questions: number[]) => {
      asked.push(questions)
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      open.push({ resolve, reject })
      seen.resolve()
      seen = Promise.withResolvers()
      await promise
      return questions.map(n => n * 10)
    },
    /** Resolves when the next question has come. */
    next: () => seen.promise,
    answer: () => open.shift()?.resolve(),
    fail: () => open.shift()?.reject(new Error('away')),
  }
}

test('questions of one moment are asked together, and each has its own answer', async () => {
  const database = slowDatabase()
  const ask = gather(database.ask, { everyMs: 5 })
  const arrived = database.next()
  const answers = Promise.all([ask(1), ask(2), ask(3)])
  await arrived
  database.answer()
  assert.deepEqual(await answers, [10, 20, 30])
  assert.deepEqual(database.asked, [[1, 2, 3]])
})

test('while an answer is awaited the next questions wait, and no more are asked at once than may be', async () => {
  const database = slowDatabase()
  const ask = gather(database.ask, { everyMs: 1, most: 2 })
  const first = database.next()
  const answers = [ask(1)]
  await first
  answers.push(...[2, 3, 4].map(ask))
  for (let batch = 2; batch <= 3; batch += 1) {
    const arrived = database.next()
    database.answer()
    await arrived
  }
  database.answer()
  assert.deepEqual(await Promise.all(answers), [10, 20, 30, 40])
  assert.deepEqual(database.asked, [[1], [2, 3], [4]])
})

test('a failure is that of those who were asked together, and of no one after', async () => {
  const database = slowDatabase()
  const ask = gather(database.ask, { everyMs: 1 })
  const first = database.next()
  const failed = [assert.rejects(ask(1), /away/), assert.rejects(ask(2), /away/)]
  await first
  const later = ask(3)
  const second = database.next()
  database.fail()
  await Promise.all(failed)
  await second
  database.answer()
  assert.equal(await later, 30)
})

test('answers that are not as many as the questions are nobody’s', async () => {
  const ask = gather(async (_: number[]) => [1], { everyMs: 1 })
  await Promise.all([assert.rejects(ask(1), /2 questions have 1 answers/), assert.rejects(ask(2))])
})

test('no more wait than may, those under way included', async () => {
  const database = slowDatabase()
  const ask = gather(database.ask, { everyMs: 1, mostWaiting: 2 })
  const first = database.next()
  const one = ask(1)
  await first
  const two = ask(2)
  await assert.rejects(ask(3), GatherFull)
  const second = database.next()
  database.answer()
  await second
  database.answer()
  assert.deepEqual(await Promise.all([one, two]), [10, 20])
})

test('an answer that does not come is waited for so long, and those who ask next have theirs', async () => {
  const database = slowDatabase()
  const ask = gather(database.ask, { everyMs: 1, answerMs: 20 })
  await assert.rejects(ask(1), (error: unknown) => problemOf(error).code === 'database-unavailable')
  const arrived = database.next()
  const later = ask(2)
  await arrived
  // The first one's, which nobody waits for any more; then the second one's.
  database.answer()
  database.answer()
  assert.equal(await later, 20)
})
