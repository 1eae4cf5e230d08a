import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import WebSocket from 'ws'
import { rememberAnswer } from '../kit/credentials.ts'
import type { Runtime } from '../kit/runtime.ts'
import type { Lab } from '../lab/kit.ts'
import type { Entry, History } from './history.ts'
import type { Operation, Step } from './plan.ts'

/** Milliseconds that one call may take, at most, and how long a new runtime is waited for. */
export const callMs = 60_000
const waitSeconds = 40
/** Tries of a call that nobody answered; a client does not give up at the first. */
const maxTries = 3
const socketMs = 20_000

/** A live view that is held open. */
export type Held = { owner: string; isOpen(): boolean }

export type ClientOptions = {
  lab: Lab
  owner: string
  history: History
  /** Milliseconds since the beginning. */
  now(): number
  /** A token of another tenant. */
  strangerToken: string
}

type Answer = { status: number; body: unknown; text: string }
type Outcome = Pick<Entry, 'outcome' | 'status' | 'code' | 'runtime' | 'wrong'>

const outcomeOf = (status: number): Entry['outcome'] =>
  status >= 200 && status < 300
    ? 'ok'
    : status >= 400 && status < 500 && status !== 408 && status !== 429
      ? 'refused'
      : 'unknown'

const isRuntime = (body: unknown): body is Runtime =>
  typeof body === 'object' && body !== null && 'id' in body && 'generation' in body && 'state' in body

/** One owner's client: does one step after the other, and notes what it was told. */
export const createClient = ({ lab, owner, history, now, strangerToken }: ClientOptions) => {
  let runtime: Runtime | undefined
  let view: WebSocket | undefined
  let busySince: number | undefined

  const doorOf = (door: number) => lab.gateways[Math.floor(door * lab.gateways.length)]?.url ?? ''

  const ask = async (
    url: string,
    method: string,
    {
      body,
      headers,
      token = lab.tenantToken,
    }: { body?: unknown; headers?: Record<string, string>; token?: string } = {},
  ): Promise<Answer> => {
    const answer = await fetch(url, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(callMs),
    })
    const text = await answer.text()
    const isJson = /json/.test(answer.headers.get('content-type') ?? '')
    const parsed: unknown = isJson && text ? JSON.parse(text) : undefined
    rememberAnswer(parsed)
    return { status: answer.status, body: parsed, text }
  }

  /** Again while nobody answers, by the same key; what was answered is believed. */
  const persistently = async (door: number, method: string, path: string, body?: unknown): Promise<Outcome> => {
    const headers: Record<string, string> = method === 'POST' ? { 'idempotency-key': randomUUID() } : {}
    for (let attempt = 1; ; attempt += 1) {
      try {
        const { status, body: said } = await ask(`${doorOf(door)}${path}`, method, { body, headers })
        const code = (said as { code?: string } | undefined)?.code
        const isOver = outcomeOf(status) !== 'unknown' || attempt === maxTries
        const { id, generation, state, host } = isRuntime(said) ? said : (runtime ?? {})
        if (isOver) {
          if (isRuntime(said)) runtime = said
          const known =
            id && generation !== undefined && state ? { id, generation, state, host: host ?? null } : undefined
          return {
            outcome: outcomeOf(status),
            status,
            code,
            runtime: isRuntime(said) || method === 'DELETE' ? known : undefined,
          }
        }
      } catch (error) {
        if (attempt === maxTries)
          return { outcome: 'unknown', status: 0, code: error instanceof Error ? error.name : String(error) }
      }
      // The other gateway may be there.
      door = (door + 0.5) % 1
      await delay(250 * 2 ** attempt)
    }
  }

  const create = (door: number) => persistently(door, 'POST', '/v1/runtimes', { userId: owner, wait: waitSeconds })

  /** A socket of the runtime, open; undefined and why when there is none. */
  const open = (door: number, path: string): Promise<{ socket: WebSocket } | { status: number }> => {
    const socket = new WebSocket(`${doorOf(door).replace('http', 'ws')}${path}`, ['binary'], {
      headers: { authorization: `Bearer ${lab.tenantToken}` },
      handshakeTimeout: callMs / 2,
    })
    const { promise, resolve } = Promise.withResolvers<{ socket: WebSocket } | { status: number }>()
    socket.once('open', () => resolve({ socket }))
    socket.once('unexpected-response', (_, answer) => {
      resolve({ status: answer.statusCode ?? 0 })
      socket.terminate()
    })
    socket.on('error', () => resolve({ status: 0 }))
    return promise
  }

  /** Looks into the browser: only this owner's mark may be there. Then makes it. */
  const drive = async (door: number): Promise<Outcome> => {
    if (!runtime) return { outcome: 'refused', status: 0, code: 'nothing-to-drive' }
    const opened = await open(door, `/cdp/${runtime.ownerHash}`)
    if (!('socket' in opened)) return { outcome: outcomeOf(opened.status), status: opened.status }
    const { socket } = opened
    try {
      const marks = await call(socket, 'Storage.getCookies')
      const others = (marks.cookies as { domain: string; value: string }[]).filter(
        ({ domain, value }) => domain === 'chaos.example' && value !== owner,
      )
      const expires = Math.floor(Date.now() / 1000) + 86_400
      const cookie = { name: 'owner', value: owner, domain: 'chaos.example', path: '/', expires }
      await call(socket, 'Storage.setCookies', { cookies: [cookie] })
      const wrong =
        others.length > 0 ? `its browser has the mark of ${others.map(({ value }) => value).join()}` : undefined
      return { outcome: 'ok', status: 101, wrong }
    } catch (error) {
      return { outcome: 'unknown', status: 101, code: String(error) }
    } finally {
      socket.terminate()
    }
  }

  const watch = async (door: number): Promise<Outcome> => {
    if (!runtime) return { outcome: 'refused', status: 0, code: 'nothing-to-watch' }
    view?.terminate()
    const opened = await open(door, `/view/${runtime.ownerHash}/websockify`)
    if (!('socket' in opened)) return { outcome: outcomeOf(opened.status), status: opened.status }
    view = opened.socket
    view.on('message', () => {})
    return { outcome: 'ok', status: 101 }
  }

  /** A stranger is told the same of this runtime as of one that never was. */
  const spy = async (door: number): Promise<Outcome> => {
    const look = (id: string) => ask(`${doorOf(door)}/v1/runtimes/${id}`, 'GET', { token: strangerToken })
    try {
      const [real, none] = [
        await look(runtime?.id ?? 'rt_01K0000000000000000000000A'),
        await look('rt_01K0000000000000000000000B'),
      ]
      const plain = ({ text, status }: Answer) => `${status} ${text.replace(/"requestId":"[^"]*"/, '')}`
      const isAway = real.status >= 500 || none.status >= 500
      const wrong =
        !isAway && plain(real) !== plain(none) ? `a stranger sees ${plain(real)}, not ${plain(none)}` : undefined
      return { outcome: isAway ? 'unknown' : 'ok', status: real.status, wrong }
    } catch {
      return { outcome: 'unknown', status: 0 }
    }
  }

  const verb = (door: number, name: string): Promise<Outcome> =>
    runtime
      ? persistently(door, 'POST', `/v1/runtimes/${runtime.id}/${name}`)
      : Promise.resolve({ outcome: 'refused', status: 0, code: 'nothing-there' })

  const remove = (door: number, query: string): Promise<Outcome> =>
    runtime
      ? persistently(door, 'DELETE', `/v1/runtimes/${runtime.id}${query}`)
      : Promise.resolve({ outcome: 'refused', status: 0, code: 'nothing-there' })

  const does: Record<Operation, (door: number) => Promise<Outcome>> = {
    create,
    'create twice': create,
    delete: door => remove(door, ''),
    'delete with profile': door => remove(door, '?profile=delete'),
    pause: door => verb(door, 'pause'),
    resume: door => verb(door, 'resume'),
    stop: door => verb(door, 'stop'),
    start: door => verb(door, 'start'),
    touch: door => verb(door, 'touch'),
    drive,
    watch,
    spy,
    list: door => persistently(door, 'GET', '/v1/runtimes?limit=100'),
  }

  const perform = async (operation: Operation, door: number) => {
    const at = now()
    const outcome = await does[operation](door)
    history.entries.push({ owner, operation, at, ms: now() - at, ...outcome })
  }

  return {
    /** When it began what it does now; undefined: it does nothing. */
    busySince: () => busySince,
    held: (): Held | undefined => {
      const seen = view
      return seen?.readyState === WebSocket.OPEN
        ? { owner, isOpen: () => seen.readyState === WebSocket.OPEN }
        : undefined
    },
    run: async (steps: readonly Step[], until: number) => {
      for (const { at, operation, door } of steps) {
        if (now() > until) break
        if (at > now()) await delay(at - now())
        busySince = now()
        // Two at once, each at another gateway: they are to be given the same.
        const doors = operation === 'create twice' ? [door, (door + 0.5) % 1] : [door]
        await Promise.all(doors.map(each => perform(operation, each)))
        busySince = undefined
      }
    },
    close: () => view?.terminate(),
  }
}

/** One call of the DevTools protocol. @throws Error when there is no answer in time */
const call = async (socket: WebSocket, method: string, params: object = {}): Promise<Record<string, unknown>> => {
  const { promise, resolve, reject } = Promise.withResolvers<Record<string, unknown>>()
  const timer = setTimeout(() => reject(new Error(`${method} was not answered`)), socketMs)
  const listen = (data: WebSocket.RawData) => {
    const { id, result, error } = JSON.parse(String(data))
    if (id !== 1) return
    if (error) reject(new Error(error.message))
    else resolve(result)
  }
  const closed = () => reject(new Error('closed'))
  socket.on('message', listen).once('close', closed)
  socket.send(JSON.stringify({ id: 1, method, params }))
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    socket.off('message', listen).off('close', closed)
  }
}
