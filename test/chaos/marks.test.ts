import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { it } from 'node:test'
import Docker from 'dockerode'
import { exchangeMark, markIn } from './marks.ts'

it('a mark is found again for as long as its volume is the same', async t => {
  const dir = mkdtempSync(join(tmpdir(), 'porthole-marks-'))
  const folder = join(dir, 'v-aa')
  mkdirSync(folder)
  // As much of an engine as tells where a volume lies.
  const server = http.createServer((req, res) => {
    const isThere = basename(req.url ?? '') === 'v-aa'
    res.writeHead(isThere ? 200 : 404, { 'content-type': 'application/json' })
    res.end(JSON.stringify(isThere ? { Mountpoint: folder } : { message: 'no such volume' }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
    rmSync(dir, { recursive: true })
  })
  const docker = new Docker({ protocol: 'http', host: '127.0.0.1', port: (server.address() as AddressInfo).port })
  const lab = { hosts: [{ id: 'h1', docker }], names: { containerPrefix: 'c-', volumePrefix: 'v-', network: 'n' } }
  const ada = { host: 'h1', ownerHash: 'aa' }

  assert.equal(await markIn({ docker }, 'v-aa'), undefined)
  const first = await exchangeMark(lab, ada)
  assert.equal(first?.found, undefined)
  assert.deepEqual(await exchangeMark(lab, ada), { found: first?.left, left: first?.left })
  assert.equal(await markIn({ docker }, 'v-aa'), first?.left)

  rmSync(folder, { recursive: true })
  mkdirSync(folder)
  const second = await exchangeMark(lab, ada)
  assert.equal(second?.found, undefined)
  assert.notEqual(second?.left, first?.left)

  assert.equal(await exchangeMark(lab, { ...ada, ownerHash: 'bb' }), undefined)
  assert.equal(await exchangeMark(lab, { ...ada, host: null }), undefined)
})
