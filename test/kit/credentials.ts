import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { hopHeader, keyHeader } from '@porthole/protocol'
import { type Evidence, evidence } from './evidence.ts'
import type { SecretKind } from './evidence-folder.ts'

/**
 * Notes the credentials of every HTTP request that this process sends and of what it is answered: in headers, cookies
 * and tickets. So a test, and a gateway that runs in its process, need not think of it. Says no word twice when called
 * twice. Node's channels: https://nodejs.org/api/diagnostics_channel.html, undici's: its docs/api/DiagnosticsChannel.md.
 */
export function watchCredentials(): void {
  for (const [channel, listener] of listeners) {
    unsubscribe(channel, listener)
    subscribe(channel, listener)
  }
}

const listeners: readonly [string, (message: unknown) => void][] = [
  ['http.client.request.start', message => noteClientRequest(message as { request: ClientRequest })],
  ['http.client.response.finish', message => noteClientAnswer(message as { response: IncomingMessage })],
  ['undici:request:create', message => noteFetch(message as { request: FetchRequest })],
  ['undici:request:headers', message => noteFetchAnswer(message as { response: { headers: Uint8Array[] } })],
]

type FetchRequest = { path?: string; headers?: unknown }

function noteClientRequest({ request }: { request: ClientRequest }) {
  noteTicket(request.path)
  for (const [name, value] of Object.entries(request.getHeaders())) noteHeader(name, String(value))
}

function noteClientAnswer({ response }: { response: IncomingMessage }) {
  for (const cookie of response.headers['set-cookie'] ?? []) noteCookies(cookie.split(';', 1)[0])
  noteTicket(response.headers.location)
}

function noteFetch({ request: { path, headers } }: { request: FetchRequest }) {
  noteTicket(path)
  for (const [name, value] of pairs(headers)) noteHeader(name, value)
}

function noteFetchAnswer({ response }: { response: { headers: Uint8Array[] } }) {
  for (const [name, value] of pairs(response.headers)) {
    if (/^set-cookie$/i.test(name)) noteCookies(value.split(';', 1)[0])
    if (/^location$/i.test(name)) noteTicket(value)
  }
}

/** Names and values by turns, as text or bytes. */
function pairs(headers: unknown): [string, string][] {
  if (!Array.isArray(headers)) return []
  const words = headers.map(word => (word instanceof Uint8Array ? Buffer.from(word).toString() : String(word)))
  return words.flatMap((name, at) => (at % 2 === 0 ? [[name, words[at + 1] ?? ''] satisfies [string, string]] : []))
}

function noteHeader(name: string, value: string) {
  const lower = name.toLowerCase()
  if (lower === 'authorization') evidence.remember('bearer token', value.replace(/^\w+ +/, '').trim())
  if (lower === hopHeader) evidence.remember('hop token', value)
  if (lower === keyHeader) evidence.remember('container key', value)
  if (lower === 'cookie') noteCookies(value)
}

const noteCookies = (text: string | undefined) => {
  for (const cookie of text?.split(';') ?? []) evidence.remember('cookie', cookie.split(/=(.*)/s)[1]?.trim())
}

const noteTicket = (address: string | undefined, to: Evidence = evidence) =>
  to.remember('ticket', /[?&]ticket=([^&#]*)/.exec(address ?? '')?.[1])

/** Notes what an answer of the public API hands out: tokens by their fields' names, and tickets in links. */
export function rememberAnswer(body: unknown, to: Evidence = evidence): void {
  if (typeof body !== 'object' || body === null) return
  for (const [name, value] of Object.entries(body)) {
    if (typeof value === 'string') {
      if (/(token|secret|password)$/i.test(name)) to.remember(kindOf(value), value)
      if (/url$/i.test(name)) noteTicket(value, to)
    } else rememberAnswer(value, to)
  }
}

const kindOf = (value: string): SecretKind => (value.startsWith('jt_') ? 'join token' : 'bearer token')

/** Notes the environment that a request gives to its runtime. */
export function rememberEnv(body: unknown, to: Evidence = evidence): void {
  const env = typeof body === 'object' && body !== null && 'env' in body ? body.env : undefined
  if (typeof env !== 'object' || env === null) return
  for (const value of Object.values(env)) if (typeof value === 'string') to.remember('request env', value)
}
