import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { Hono } from 'hono'
import { lateHeader } from './late-header.ts'

const answerWith = (answer: () => Response | Promise<Response>) => {
  const made: Response[] = []
  const app = new Hono()
  app.use(async (c, next) => {
    await next()
    lateHeader(c, 'x-late', 'yes')
    lateHeader(c, 'x-late', 'still')
    made.push(c.res)
  })
  app.get('/', answer)
  return { app, made }
}

test('a header is added to the answer itself, not to a copy of it', async () => {
  const answer = new Response('hello', { status: 201 })
  const { app, made } = answerWith(() => answer)
  const got = await app.request('/')
  assert.deepEqual([got.status, got.headers.get('x-late'), await got.text()], [201, 'still', 'hello'])
  assert.equal(made[0], answer)
})

test('an answer whose headers cannot be changed is copied', async () => {
  const fixed = Response.redirect('http://127.0.0.1/elsewhere')
  const { app } = answerWith(() => fixed)
  const got = await app.request('/')
  assert.deepEqual([got.status, got.headers.get('x-late')], [302, 'still'])
  assert.equal(fixed.headers.has('x-late'), false)
})

test('what stands for all answers that were sent already stays as it is', async () => {
  const { app } = answerWith(() => RESPONSE_ALREADY_SENT)
  await app.request('/')
  assert.equal(RESPONSE_ALREADY_SENT.headers.has('x-late'), false)
})
