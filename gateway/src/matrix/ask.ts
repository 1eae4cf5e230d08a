import http from 'node:http'
import type { Row } from './row.ts'
import type { Thing } from './world.ts'

/** What a caller shows. */
export type Shown = { headers?: Record<string, string>; ticket?: string }

export type Answered = {
  status: number
  /** The problem's code; `page` for one of ours. */
  code: string | undefined
  text: string
  /** The whole answer but its times and its request's id: status, headers as they were sent, body. */
  image: string
}

/** Milliseconds. */
const deadline = 10_000

const handshake = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
}

const fill = (pattern: string, { names }: Thing): string =>
  pattern.replace(/\{(\w+)\}/g, (all, name: string) => {
    const value = names[name]
    if (value === undefined) throw new Error(`${pattern}: a thing has no ${all}`)
    return value
  })

/** Whether a row is about one thing, that could also not be there. */
export const namesThing = (row: Row): boolean =>
  /\{\w+\}/.test(`${row.route}${row.query ?? ''}${JSON.stringify(row.body ?? '')}`)

const codeIn = (headers: http.IncomingHttpHeaders, text: string): string | undefined => {
  const type = headers['content-type'] ?? ''
  if (type.startsWith('text/html')) return 'page'
  return type === 'application/problem+json' ? String(JSON.parse(text).code) : undefined
}

const imageOf = ({ statusCode, rawHeaders }: http.IncomingMessage, text: string): string => {
  const lines = rawHeaders.flatMap((name, n) => (n % 2 === 0 ? [`${name}: ${rawHeaders[n + 1]}`] : []))
  const kept = lines.filter(line => !/^(date|x-porthole-time|x-request-id):/i.test(line))
  return [statusCode, ...kept, '', text.replace(/"requestId":"\w+"/, '"requestId":""')].join('\n')
}

const send = (url: URL, options: http.RequestOptions, body: string | undefined) =>
  new Promise<Answered>((resolve, reject) => {
    const req = http.request(url, { ...options, signal: AbortSignal.timeout(deadline) })
    req.on('response', res => {
      const chunks: Buffer[] = []
      res.on('data', chunk => chunks.push(chunk))
      res.on('error', reject)
      res.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        const code = codeIn(res.headers, text)
        resolve({ status: res.statusCode ?? 0, code, text, image: imageOf(res, text) })
      })
    })
    req.on('upgrade', (res, socket) => {
      socket.destroy()
      resolve({ status: 101, code: undefined, text: '', image: imageOf(res, '') })
    })
    req.on('error', reject)
    req.end(body)
  })

/** The path of a row, without its query. */
export const pathOf = ({ route, rest }: Row, thing: Thing): string => {
  const pattern = route.slice(route.indexOf(' ') + 1)
  return fill(rest === undefined ? pattern : pattern.replace('*', rest), thing)
}

/** Asks a gateway for what a row says of a thing. @param agent keeps connections of requests that are no upgrades */
export const ask = (base: string, row: Row, thing: Thing, shown: Shown, agent: http.Agent): Promise<Answered> => {
  const [verb = ''] = row.route.split(' ', 1)
  const query = [row.query && fill(row.query, thing), shown.ticket && `ticket=${shown.ticket}`].filter(Boolean)
  const url = new URL(`${pathOf(row, thing)}${query.length > 0 ? `?${query.join('&')}` : ''}`, base)
  const headers = { ...row.headers, ...shown.headers }
  // Browsers always send an Origin here; without ours a cookie is worth nothing.
  if (verb === 'WS' && headers.cookie) Object.assign(headers, { origin: base })
  if (verb === 'WS') return send(url, { agent: false, headers: { ...handshake, ...headers } }, undefined)
  const body = row.body === undefined ? undefined : fill(JSON.stringify(row.body), thing)
  if (body !== undefined) Object.assign(headers, { 'content-type': 'application/json', 'content-length': body.length })
  return send(url, { agent, method: row.method ?? verb, headers }, body)
}
