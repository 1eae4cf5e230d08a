import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createApi, Problem, problemFrom } from './api.js'

/** An API whose gateway answers what the test says, and the requests it got. */
function against(answer: () => Response) {
  const asked: { url: string; method: string; authorization: string | null; body: string }[] = []
  const fetch: typeof globalThis.fetch = async (url, init) => {
    const request = new Request(url, init)
    const { method, headers } = request
    asked.push({ url: request.url, method, authorization: headers.get('authorization'), body: await request.text() })
    return answer()
  }
  return { asked, api: createApi({ token: () => 'a.b.c', base: 'https://porthole.example/at/v1/', fetch }) }
}

test('requests go below the prefix the console was served from, with the token in a header', async () => {
  const { api, asked } = against(() => Response.json({ items: [], nextCursor: null }))
  await api.runtimes(100, 'rt_1')
  assert.deepEqual(asked, [
    {
      url: 'https://porthole.example/at/v1/runtimes?limit=100&cursor=rt_1',
      method: 'GET',
      authorization: 'Bearer a.b.c',
      body: '',
    },
  ])
})

test('a browser is asked for without waiting until it is ready', async () => {
  const { api, asked } = against(() => Response.json({}, { status: 202 }))
  await api.create({ mode: 'docker-per-task', taskId: 't1' })
  assert.equal(asked[0]?.body, '{"mode":"docker-per-task","taskId":"t1","wait":0}')
})

test('a deletion without an answer is a success, and takes the profile only when told', async () => {
  const { api, asked } = against(() => new Response(null, { status: 204 }))
  await api.remove('rt_1', false)
  await api.remove('rt_1', true)
  assert.deepEqual(
    asked.map(({ method, url }) => `${method} ${url}`),
    [
      'DELETE https://porthole.example/at/v1/runtimes/rt_1',
      'DELETE https://porthole.example/at/v1/runtimes/rt_1?profile=delete',
    ],
  )
})

test('a problem keeps what the gateway said', async () => {
  const body = { title: 'No host has room', status: 503, code: 'no-capacity', detail: 'h1: memory', requestId: 'r1' }
  const { api } = against(() => Response.json(body, { status: 503 }))
  await assert.rejects(api.create({}), (error: unknown) => {
    assert.ok(error instanceof Problem)
    const { status, title, code, detail, requestId } = error
    assert.deepEqual({ status, title, code, detail, requestId }, body)
    return true
  })
})

test('an answer of somebody in between, which is not a problem document, is still told', async () => {
  const { api } = against(() => new Response('<h1>Bad gateway</h1>', { status: 502 }))
  await assert.rejects(api.runtimes(1), { status: 502, title: 'The gateway answered 502' })
})

test('no answer at all is status 0', async () => {
  const api = createApi({
    token: () => undefined,
    base: 'https://porthole.example/v1/',
    fetch: () => Promise.reject(new TypeError('fetch failed')),
  })
  await assert.rejects(api.runtimes(1), { status: 0, title: 'The gateway does not answer' })
})

test('members of a problem that are of the wrong kind are left out', () => {
  const problem = problemFrom(400, {
    title: 7,
    detail: ['x'],
    errors: [{ pointer: '#/userId', detail: 'is empty' }, null],
  })
  assert.equal(problem.title, 'The gateway answered 400')
  assert.equal(problem.detail, undefined)
  assert.deepEqual(problem.errors, [
    { pointer: '#/userId', detail: 'is empty' },
    { pointer: '', detail: '' },
  ])
})
