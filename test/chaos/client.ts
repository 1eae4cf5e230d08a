import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import WebSocket from 'ws'
import { rememberAnswer } from '../kit/credentials.ts'
import type { Runtime } from '../kit/runtime.ts'
import type { Lab } from '../lab/kit.ts'
import type { Entry, History } from './history.ts'
import { exchangeMark } from './marks.ts'
import type { Operation, Step } from './plan.ts'
import { askBrowser, isAlive, isGreeting, openSocket } from './sockets.ts'
import { pause } from './strikes.ts'

/** Milliseconds that one call may take, at most, and how long a new runtime is waited for. */
export const callMs = 60_000
const waitSeconds = 15
/** Tries of a call that nobody answered; a client does not give up at the first. */
const maxTries = 3

/** A live view that is held open. */
export type Held = { owner: string; gateway: string; isAlive(ms?: number): Promise<boolean> }

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
type Outcome = Pick<Entry, 'outcome' | 'status' | 'code' | 'runtime' | 'wrong' | 'unanswered' | 'asked' | 'mark'>

const outcomeOf = (status: number, code?: string): Entry['outcome'] =>
  status >= 200 && status < 300
    ? 'ok'
    : // There are fewer places than owners: it is an answer like any other.
      code === 'no-capacity' ||
        (status >= 400 && status < 500 && status !== 408 && status !== 429 && code !== 'idempotency-at-work')
      ? 'refused'
      : 'unknown'

const isRuntime = (body: unknown): body is Runtime =>
  typeof body === 'object' && body !== null && 'id' in body && 'generation' in body && 'state' in body

/** One owner's client: does one step after the other, and notes what it was told. */
export const createClient = ({ lab, owner, history, now, strangerToken }: ClientOptions) => {
  let runtime: Runtime | undefined
  let view: { socket: WebSocket; gateway: string } | undefined
  let doing: Operation | undefined

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
  const persistently = async (
    door: number,
    method: string,
    path: string,
    body?: unknown,
    key: string = randomUUID(),
  ): Promise<Outcome> => {
    const headers: Record<string, string> = method === 'POST' ? { 'idempotency-key': key } : {}
    let unanswered = 0
    let isLost = false
    for (let attempt = 1; ; attempt += 1) {
      try {
        const { status, body: said } = await ask(`${doorOf(door)}${path}`, method, { body, headers })
        const code = (said as { code?: string } | undefined)?.code
        const isOver = outcomeOf(status, code) !== 'unknown' || attempt === maxTries
        const { id, generation, state, host } = isRuntime(said) ? said : (runtime ?? {})
        if (isOver) {
          if (isRuntime(said)) runtime = said
          const known =
            id && generation !== undefined && state ? { id, generation, state, host: host ?? null } : undefined
          return {
            // One that nobody answered may have been done, whatever is said to the next.
            outcome: isLost && outcomeOf(status, code) === 'refused' ? 'unknown' : outcomeOf(status, code),
            status,
            code,
            unanswered,
            runtime: isRuntime(said) || method === 'DELETE' ? known : undefined,
          }
        }
      } catch (error) {
        const code = error instanceof Error ? error.name : String(error)
        isLost = true
        if (code === 'TimeoutError') unanswered += 1
        if (attempt === maxTries) return { outcome: 'unknown', status: 0, code, unanswered }
      }
      // The other gateway may be there.
      door = (door + 0.5) % 1
      await delay(250 * 2 ** attempt)
    }
  }

  const create = (door: number, key?: string) =>
    persistently(door, 'POST', '/v1/runtimes', { userId: owner, wait: waitSeconds }, key)

  /** Sent once more with its key, to the other gateway: the first answer is given again, whatever was done since. */
  const createAgain = async (door: number): Promise<Outcome> => {
    const key = randomUUID()
    const first = await create(door, key)
    if (first.outcome !== 'ok') return first
    const second = await create((door + 0.5) % 1, key)
    const told = ({ status, runtime }: Outcome) => `${status} ${runtime?.id} g${runtime?.generation}`
    const isOther = second.outcome === 'ok' && told(second) !== told(first)
    const unanswered = (first.unanswered ?? 0) + (second.unanswered ?? 0)
    return {
      ...first,
      unanswered,
      wrong: isOther ? `${told(first)}, and with the same key ${told(second)}` : undefined,
    }
  }

  const open = (door: number, path: string, protocols: string[] = []) =>
    openSocket(`${doorOf(door)}${path}`, lab.tenantToken, protocols)

  /** Looks into the browser and its profile: only this owner's marks may be there. Then makes them. */
  const drive = async (door: number): Promise<Outcome> => {
    if (!runtime) return { outcome: 'refused', status: 0, code: 'nothing-to-drive' }
    const opened = await open(door, `/cdp/${runtime.ownerHash}`)
    if (!('socket' in opened)) return { outcome: outcomeOf(opened.status), status: opened.status }
    const { socket } = opened
    try {
      const marks = await askBrowser(socket, 'Storage.getCookies')
      const others = (marks.cookies as { domain: string; value: string }[]).filter(
        ({ domain, value }) => domain === 'chaos.example' && value !== owner,
      )
      const expires = Math.floor(Date.now() / 1000) + 86_400
      const cookie = { name: 'owner', value: owner, domain: 'chaos.example', path: '/', expires }
      await askBrowser(socket, 'Storage.setCookies', { cookies: [cookie] })
      const wrong =
        others.length > 0 ? `its browser has the mark of ${others.map(({ value }) => value).join()}` : undefined
      return { outcome: 'ok', status: 101, wrong, mark: await exchangeMark(lab, runtime) }
    } catch (error) {
      return { outcome: 'unknown', status: 101, code: String(error) }
    } finally {
      socket.terminate()
    }
  }

  const watch = async (door: number): Promise<Outcome> => {
    if (!runtime) return { outcome: 'refused', status: 0, code: 'nothing-to-watch' }
    // One that is open stays open, for as long as nothing closes it.
    if (view && (await isAlive(view.socket))) return { outcome: 'ok', status: 101 }
    view?.socket.terminate()
    const opened = await open(door, `/view/${runtime.ownerHash}/websockify`, ['binary'])
    if (!('socket' in opened)) return { outcome: outcomeOf(opened.status), status: opened.status }
    view = { socket: opened.socket, gateway: doorOf(door) }
    try {
      return isGreeting(await opened.firstMessage())
        ? { outcome: 'ok', status: 101 }
        : { outcome: 'ok', status: 101, wrong: 'its view began with something else than a greeting' }
    } catch (error) {
      return { outcome: 'unknown', status: 101, code: String(error) }
    }
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

  const askOfIt = async (door: number, method: string, path: string): Promise<Outcome> => {
    if (!runtime) return { outcome: 'refused', status: 0, code: 'nothing-there' }
    const { id } = runtime
    return { ...(await persistently(door, method, `/v1/runtimes/${id}${path}`)), asked: id }
  }
  const verb = (door: number, name: string) => askOfIt(door, 'POST', `/${name}`)
  const remove = (door: number, query: string) => askOfIt(door, 'DELETE', query)

  const does: Record<Operation, (door: number) => Promise<Outcome>> = {
    create: door => create(door),
    'create twice': door => create(door),
    'create again': createAgain,
    delete: door => remove(door, ''),
    'delete with profile': door => remove(door, '?profile=delete'),
    pause: door => verb(door, 'pause'),
    resume: door => verb(door, 'resume'),
    stop: door => verb(door, 'stop'),
    start: door => verb(door, 'start'),
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
    /** What it does now; undefined: nothing. */
    doing: () => doing,
    held: (): Held | undefined => {
      const seen = view
      return seen?.socket.readyState === WebSocket.OPEN
        ? { owner, gateway: seen.gateway, isAlive: ms => isAlive(seen.socket, ms) }
        : undefined
    },
    run: async (steps: readonly Step[], until: number, signal: AbortSignal) => {
      for (const { at, operation, door } of steps) {
        if (at > now()) await pause(at - now(), signal)
        if (now() > until || signal.aborted) break
        doing = operation
        // Two at once, each at another gateway: they are to be given the same.
        const doors = operation === 'create twice' ? [door, (door + 0.5) % 1] : [door]
        await Promise.all(doors.map(each => perform(operation, each)))
        doing = undefined
      }
    },
    close: () => view?.socket.terminate(),
  }
}
