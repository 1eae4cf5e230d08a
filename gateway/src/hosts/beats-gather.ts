import { within } from '../within.ts'

/** More wait for an answer than may. */
export class GatherFull extends Error {
  override name = 'GatherFull'
}

/**
 * Gathers questions for a moment and has them answered together: what costs once for each question by itself costs once
 * for all of them then.
 *
 * A moment begins with its first question. While an answer is awaited the next questions wait too, so that a database that
 * is slow is asked more at a time, not more often. Each is answered, or fails, with those it was asked with.
 *
 * An answer that takes too long is waited for no more: a connection that has died holds up those who asked with it, and
 * nobody after them.
 *
 * @param ask answers as many as it is given, in their order
 * @param everyMs milliseconds for which questions are gathered at least
 * @param most questions that are asked together
 * @param answerMs milliseconds an answer may take; then those who asked are told that the database is away
 * @param mostWaiting questions that wait at most, those under way included; one more throws `GatherFull`
 */
export const gather = <Question, Answer>(
  ask: (questions: Question[]) => Promise<Answer[]>,
  { everyMs = 50, most = 1000, answerMs = 3000, mostWaiting = 20_000 } = {},
): ((question: Question) => Promise<Answer>) => {
  let waiting: { question: Question; resolve(answer: Answer): void; reject(error: unknown): void }[] = []
  let asking = 0
  let isSet = false

  const askNow = async () => {
    const asked = waiting.slice(0, most)
    waiting = waiting.slice(most)
    asking = asked.length
    try {
      const answers = await within(answerMs, ask(asked.map(({ question }) => question)))
      if (answers.length !== asked.length) throw new Error(`${asked.length} questions have ${answers.length} answers`)
      for (const [n, { resolve }] of asked.entries()) resolve(answers[n] as Answer)
    } catch (error) {
      for (const { reject } of asked) reject(error)
    } finally {
      asking = 0
      isSet = false
      if (waiting.length > 0) set()
    }
  }
  const set = () => {
    if (isSet) return
    isSet = true
    setTimeout(askNow, waiting.length < most ? everyMs : 0)
  }

  return async question => {
    if (waiting.length + asking >= mostWaiting) throw new GatherFull(`${mostWaiting} wait for an answer`)
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    waiting.push({ question, resolve, reject })
    set()
    return promise
  }
}
