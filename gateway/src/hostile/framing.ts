import { head, upgradeHeaders } from './wire.ts'

export type FramingCase = {
  name: string
  /** @param path of an RPC that the caller may make; @param auth their header */
  bytes(path: string, auth: string): string
  /** Every answer that comes back, in order; the connection is closed after the last. */
  statuses: readonly number[]
  /** Bodies of what the container got, in order; absent: it may have got the first, whole. */
  seen?: readonly string[]
}

/** What no container may ever get. */
export const smuggledPath = '/rpc/0000000000000000/smuggled'
const smuggled = head(`GET ${smuggledPath} HTTP/1.1`)
const post = (path: string, headers: readonly string[], body: string, version = '1.1') =>
  head(`POST ${path} HTTP/${version}`, headers) + body
const chunked = (body: string) => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`

const refused = { statuses: [400], seen: [] } as const

/** Messages whose length, or whose addressee, two programs could read differently. */
export const framingCases: readonly FramingCase[] = [
  {
    name: 'Content-Length and Transfer-Encoding',
    bytes: (path, auth) =>
      post(path, [auth, 'Content-Length: 5', 'Transfer-Encoding: chunked'], `0\r\n\r\n${smuggled}`),
    ...refused,
  },
  {
    name: 'Transfer-Encoding and Content-Length',
    bytes: (path, auth) =>
      post(path, [auth, 'Transfer-Encoding: chunked', 'Content-Length: 4'], `5c\r\n${smuggled}\r\n0\r\n\r\n`),
    ...refused,
  },
  {
    name: 'two lengths',
    bytes: (path, auth) => post(path, [auth, 'Content-Length: 0', 'Content-Length: 44'], smuggled),
    ...refused,
  },
  {
    name: 'two lengths in one header',
    bytes: (path, auth) => post(path, [auth, 'Content-Length: 2, 2'], `ab${smuggled}`),
    ...refused,
  },
  ...['+2', '-2', '0x2', '2.0', '2 2', ''].map(length => ({
    name: `the length ${JSON.stringify(length)}`,
    bytes: (path: string, auth: string) => post(path, [auth, `Content-Length: ${length}`], `ab${smuggled}`),
    ...refused,
  })),
  {
    name: 'a length beyond all numbers',
    bytes: (path, auth) => post(path, [auth, 'Content-Length: 99999999999999999999999'], smuggled),
    ...refused,
  },
  ...[
    'xchunked',
    'chunked, identity',
    'identity',
    'gzip, chunked',
    'chunked, chunked',
    '"chunked"',
    'chunked;q=1',
    'chunked\u00a0',
    '\u000bchunked',
  ].map(coding => ({
    name: `the transfer coding ${JSON.stringify(coding)}`,
    bytes: (path: string, auth: string) =>
      post(path, [auth, `Transfer-Encoding: ${coding}`], `${chunked('ab')}${smuggled}`),
    ...refused,
  })),
  {
    name: 'two Transfer-Encoding headers',
    bytes: (path, auth) =>
      post(path, [auth, 'Transfer-Encoding: chunked', 'Transfer-Encoding: identity'], `${chunked('ab')}${smuggled}`),
    ...refused,
  },
  {
    name: 'a space before the colon',
    bytes: (path, auth) => post(path, [auth, 'Transfer-Encoding : chunked'], `${chunked('ab')}${smuggled}`),
    ...refused,
  },
  {
    name: 'chunks in HTTP/1.0',
    bytes: (path, auth) =>
      post(path, [auth, 'Connection: keep-alive', 'Transfer-Encoding: chunked'], `${chunked('ab')}${smuggled}`, '1.0'),
    ...refused,
  },
  {
    name: 'a folded header',
    bytes: (path, auth) => post(path, [auth, 'X-A: 1\r\n Content-Length: 44'], smuggled),
    ...refused,
  },
  {
    name: 'a folded Transfer-Encoding',
    bytes: (path, auth) => post(path, [auth, 'Transfer-Encoding:\r\n chunked'], `${chunked('ab')}${smuggled}`),
    ...refused,
  },
  {
    name: 'a bare LF after a header',
    bytes: (path, auth) => post(path, [auth, 'X-A: 1\nTransfer-Encoding: chunked'], `${chunked('ab')}${smuggled}`),
    ...refused,
  },
  {
    name: 'bare LF throughout',
    bytes: (path, auth) => post(path, [auth, 'Content-Length: 0'], smuggled).replaceAll('\r\n', '\n'),
    ...refused,
  },
  {
    name: 'a bare CR in a header',
    bytes: (path, auth) => post(path, [auth, 'X-A: 1\rContent-Length: 44'], smuggled),
    ...refused,
  },
  {
    name: 'a NUL in a header',
    bytes: (path, auth) => post(path, [auth, 'X-A: 1\0', 'Content-Length: 2'], 'ab'),
    ...refused,
  },
  {
    name: 'two Host headers',
    bytes: (path, auth) => post(path, [auth, 'Host: other.example', 'Content-Length: 2'], `ab${smuggled}`),
    ...refused,
  },
  {
    name: 'no Host header',
    bytes: (path, auth) => `POST ${path} HTTP/1.1\r\n${auth}\r\nContent-Length: 2\r\n\r\nab${smuggled}`,
    ...refused,
  },
  ...['2;\0', '-2', '0x2', '+2', 'g', ' 2', '2 ', 'fffffffffffffffff'].map(size => ({
    name: `the chunk size ${JSON.stringify(size)}`,
    bytes: (path: string, auth: string) =>
      post(path, [auth, 'Transfer-Encoding: chunked'], `${size}\r\nab\r\n0\r\n\r\n${smuggled}`),
    ...refused,
  })),
  {
    name: 'a chunk that is longer than it says',
    bytes: (path, auth) => post(path, [auth, 'Transfer-Encoding: chunked'], `2\r\nabcd\r\n0\r\n\r\n${smuggled}`),
    ...refused,
  },
  {
    name: 'a chunk that ends with a bare LF',
    bytes: (path, auth) => post(path, [auth, 'Transfer-Encoding: chunked'], `2\nab\n0\n\n${smuggled}`),
    ...refused,
  },
  {
    name: 'a bare LF in a chunk extension',
    bytes: (path, auth) => post(path, [auth, 'Transfer-Encoding: chunked'], `2;a\n44\r\nab\r\n0\r\n\r\n${smuggled}`),
    ...refused,
  },
  {
    name: 'a chunk extension without an end',
    bytes: (path, auth) =>
      post(path, [auth, 'Transfer-Encoding: chunked'], `2;${'a'.repeat(20_000)}\r\nab\r\n0\r\n\r\n`),
    statuses: [413],
    seen: [],
  },
  {
    name: 'a length in a trailer',
    bytes: (path, auth) =>
      post(path, [auth, 'Transfer-Encoding: chunked'], `2\r\nab\r\n0\r\nContent-Length: 44\r\n\r\n${smuggled}`),
    statuses: [400],
  },
  {
    name: 'chunk extensions and trailers, which end here',
    bytes: (path, auth) =>
      post(
        path,
        [auth, 'Transfer-Encoding: chunked', 'Connection: close'],
        '2;a=1;b="2"\r\nab\r\n0\r\nX-Porthole-Key: forged\r\n\r\n',
      ),
    statuses: [200],
    seen: ['ab'],
  },
  {
    name: 'garbage behind a request',
    bytes: (path, auth) => post(path, [auth, 'Content-Length: 2'], 'ab\0\0\u0016garbage\r\n\r\n'),
    statuses: [400],
  },
  {
    name: 'a second request behind the first, which is asked for its own token',
    bytes: (path, auth) =>
      post(path, [auth, 'Content-Length: 2'], `ab${head(`GET ${smuggledPath} HTTP/1.1`, ['Connection: close'])}`),
    statuses: [200, 401],
    seen: ['ab'],
  },
  ...(['Content-Length: 44', 'Transfer-Encoding: chunked'] as const).map(framing => ({
    name: `an upgrade with a body, by ${framing}`,
    bytes: (path: string, auth: string) => head(`GET ${path} HTTP/1.1`, [auth, ...upgradeHeaders, framing]) + smuggled,
    ...refused,
  })),
  {
    name: 'an upgrade with POST',
    bytes: (path, auth) => head(`POST ${path} HTTP/1.1`, [auth, ...upgradeHeaders]) + smuggled,
    ...refused,
  },
  {
    name: 'an upgrade in HTTP/1.0',
    bytes: (path, auth) => head(`GET ${path} HTTP/1.0`, [auth, ...upgradeHeaders]) + smuggled,
    ...refused,
  },
  {
    name: 'a refused upgrade with a request behind it',
    bytes: path => head(`GET ${path} HTTP/1.1`, upgradeHeaders) + smuggled,
    statuses: [401],
    seen: [],
  },
  {
    name: 'an upgrade to something else, with a request behind it',
    bytes: (path, auth) =>
      post(
        path,
        [auth, 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AA', 'Content-Length: 2'],
        'ab',
      ) + head(`GET ${smuggledPath} HTTP/1.1`, ['Connection: close']),
    statuses: [200],
    seen: ['ab'],
  },
]
