import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Browser } from './browser.ts'
import type { Guard } from './guard.ts'
import type { Health } from './health.ts'
import { parsePersonal, type Settings } from './personal.ts'
import { sendJson, sendProblem } from './problem.ts'
import type { ActionResult } from './rpc-run.ts'
import { preferredWaitMs, type Startup } from './startup.ts'
import { createTurns, type Turns } from './turns.ts'
import type { Use } from './use.ts'

const maxBody = 1024 * 1024
const maxPersonal = 256 * 1024
const maxWaiting = 16

export type RpcOptions = {
  guard: Guard
  browser: () => Browser | undefined
  health: () => Promise<Health>
  startup: Pick<Startup, 'finished'>
  use: Pick<Use, 'begin'>
  settings: Settings
  /** Whether settings are taken at all: not where anybody could give them. */
  takesPersonal: boolean
  log: (message: string) => void
}

/**
 * The RPC port: `GET /health`, held back during the start for whoever prefers to wait, `POST /run`, and `POST /personal`, by
 * which a runtime that was started before it had an owner learns of that owner: `{ env, viewUrl? }`, once.
 */
export const createRpcPort = (options: RpcOptions): Server => {
  const turns = createTurns(maxWaiting)
  return createServer((request, response) => {
    response.on('error', () => response.destroy())
    const refused = options.guard(request.headers)
    if (refused !== undefined) return sendProblem(response, { code: refused })
    answer(options, turns, request, response).catch(error => {
      if (request.destroyed || response.destroyed) return
      options.log(`A request to the RPC port failed: ${error instanceof Error ? error.message : String(error)}`)
      if (response.headersSent) response.destroy()
      else sendProblem(response, { code: 'internal' })
    })
  })
}

const answer = async (options: RpcOptions, turns: Turns, request: IncomingMessage, response: ServerResponse) => {
  const path = request.url?.split('?', 1)[0]
  if (path === '/health') {
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return sendProblem(response, { code: 'method-not-allowed' })
    const waitMs = preferredWaitMs(request.headers.prefer)
    // Whoever waits for a start hears of its end by an answer that is held until then.
    if (waitMs > 0) await options.startup.finished(waitMs, untilGone(response))
    const { problem, ...facts } = await options.health()
    if (problem === undefined) return sendJson(response, 200, facts)
    return sendProblem(response, { code: problem, unusedMs: facts.unusedMs })
  }
  if (path === '/personal' && options.takesPersonal) return personal(options, request, response)
  if (path !== '/run') return sendProblem(response, { code: 'not-found' })
  if (request.method !== 'POST') return sendProblem(response, { code: 'method-not-allowed' })
  const over = options.use.begin()
  try {
    await run(options, turns, request, response)
  } finally {
    over()
  }
}

/** Aborted when the client has gone. */
const untilGone = (response: ServerResponse): AbortSignal => {
  const gone = new AbortController()
  response.once('close', () => gone.abort(new Error('The client went away')))
  return gone.signal
}

const readBody = async (request: IncomingMessage, most: number): Promise<string | undefined> => {
  const chunks: Buffer[] = []
  let size = 0
  // A body that is too large is left unread, but its connection must live to take the answer.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += chunk.length
    if (size > most) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

const refuseLarge = (response: ServerResponse) => {
  response.setHeader('connection', 'close')
  sendProblem(response, { code: 'body-too-large' })
}

/** Nothing of it is logged or repeated. */
const personal = async ({ settings }: RpcOptions, request: IncomingMessage, response: ServerResponse) => {
  if (request.method !== 'POST') return sendProblem(response, { code: 'method-not-allowed' })
  const body = await readBody(request, maxPersonal)
  if (body === undefined) return refuseLarge(response)
  const parsed = parsePersonal(body)
  if ('faults' in parsed) return sendProblem(response, { code: 'bad-request', errors: parsed.faults })
  if (!settings.take(parsed)) return sendProblem(response, { code: 'already-personal' })
  response.writeHead(204, { 'cache-control': 'no-store' }).end()
}

const run = async (options: RpcOptions, turns: Turns, request: IncomingMessage, response: ServerResponse) => {
  const body = await readBody(request, maxBody)
  if (body === undefined) return refuseLarge(response)
  // Loaded with the first run and not before Chromium starts: this is most of what there is to load.
  const [{ parseRun }, { runActions }] = await Promise.all([import('./rpc-schema.ts'), import('./rpc-run.ts')])
  const parsed = parseRun(body)
  if ('faults' in parsed) return sendProblem(response, { code: 'bad-request', errors: parsed.faults })
  if ('task' in parsed) {
    return sendProblem(response, {
      code: options.settings.current().modelConfigured ? 'task-not-supported' : 'no-model',
    })
  }
  const gone = untilGone(response)
  const leave = await turns.take(gone)
  if (leave === undefined) return sendProblem(response, { code: 'busy' })
  try {
    const chromium = options.browser()?.current()
    if (chromium === undefined) return sendProblem(response, { code: 'browser-down' })
    const results = runActions(chromium, parsed.actions, gone)
    const streams = request.headers.accept?.includes('application/x-ndjson') === true
    await (streams ? sendLines(response, results, gone) : sendTogether(response, results))
  } finally {
    leave()
  }
}

const sendTogether = async (response: ServerResponse, results: AsyncGenerator<ActionResult>) => {
  sendJson(response, 200, { results: await Array.fromAsync(results) })
}

const sendLines = async (response: ServerResponse, results: AsyncGenerator<ActionResult>, signal: AbortSignal) => {
  response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' })
  response.flushHeaders()
  for await (const result of results) {
    if (!response.write(`${JSON.stringify(result)}\n`)) await once(response, 'drain', { signal })
  }
  response.end()
}
