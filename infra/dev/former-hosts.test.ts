import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { removeFormerHosts } from './former-hosts.ts'
import { gatewayApi } from './gateway-api.ts'

/** A gateway whose hosts are these: empty, or with so many profiles. */
const gateway = async (t: TestContext, hosts: Map<string, number>) => {
  const server = http.createServer((req, res) => {
    const id = req.url?.split('/').at(-1) ?? ''
    const profiles = hosts.get(id)
    assert.deepEqual([req.method, req.headers.authorization, req.url], ['DELETE', 'Bearer admin', `/v1/hosts/${id}`])
    const status = profiles === undefined ? 404 : profiles > 0 ? 409 : 204
    if (status === 204) hosts.delete(id)
    res.writeHead(status, { 'content-type': 'application/problem+json' })
    res.end(status === 204 ? undefined : JSON.stringify({ title: 'x', code: 'host-in-use', runtimes: 0, profiles }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  return gatewayApi(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 'admin')
}

const memory = (made: string[]) => {
  const notes: string[] = []
  const state = {
    readMadeHosts: () => made,
    writeMadeHosts: (ids: readonly string[]) => {
      made = [...ids]
    },
  }
  return { state, notes, note: (text: string) => void notes.push(text), made: () => made }
}
const { signal } = new AbortController()

test('hosts of earlier runs that hold nothing are taken out, those with profiles stay and are told of', async t => {
  const hosts = new Map([
    ['host_1', 0],
    ['host_2', 3],
    ['host_now', 1],
    ['host_operators', 0],
  ])
  const { state, notes, note, made } = memory(['host_1', 'host_2', 'host_gone', 'host_now'])
  await removeFormerHosts({ state, hostIds: ['host_now'], api: await gateway(t, hosts), note, signal })
  assert.deepEqual([...hosts.keys()], ['host_2', 'host_now', 'host_operators'])
  assert.deepEqual(made(), ['host_2', 'host_now'])
  assert.deepEqual(notes, [
    'A host of an earlier start with another --hosts stays listed, for the 3 profiles there: their owners get 503 until you start with that number again, or they ask with "profile": "fresh" and lose it.',
  ])
})

test('a gateway that does not answer costs nothing, and the next run asks again', async () => {
  const { state, notes, note, made } = memory(['host_1'])
  await removeFormerHosts({ state, hostIds: ['host_2'], api: gatewayApi('http://127.0.0.1:1', 'admin'), note, signal })
  assert.deepEqual([made(), notes], [['host_1', 'host_2'], []])
})
