import assert from 'node:assert/strict'
import { it } from 'node:test'
import { banner, curlLine } from './banner.ts'
import { Explained, tell } from './explained.ts'
import { hostNameOf } from './names.ts'

const info = {
  gatewayUrl: 'http://127.0.0.1:4747',
  gatewayUrls: [],
  adminToken: 'admin-secret',
  tenantToken: 'tenant-token',
  databaseUrl: 'postgres://postgres:secret@127.0.0.1/postgres',
  hosts: [],
  gatewayPids: [],
  viewUrl: 'http://127.0.0.1:4747/view/0123456789abcdef/vnc.html#token=v',
  consoleUrl: 'http://127.0.0.1:4747/console',
}

it('the banner shows what a person needs and no more', () => {
  const text = banner(info, 'Ctrl-C stops everything.', false)
  for (const needed of [info.viewUrl, info.consoleUrl, info.tenantToken, curlLine(info), 'Ctrl-C']) {
    assert.ok(text.includes(needed), needed)
  }
  assert.ok(!text.includes('admin-secret') && !text.includes('postgres://'))
})

it('an explained failure is told as it is, another one with a way to see more', () => {
  assert.equal(tell(new Explained('Port 4747 is taken.'), false), 'Port 4747 is taken.')
  assert.match(tell(new Error('boom'), false), /^boom\n.*DEBUG=1/)
  assert.match(
    tell(new Error('boom', { cause: new Error('inner') }), true),
    /boom\n\s+at [\s\S]*caused by: Error: inner/,
  )
})

it('a machine’s name becomes one that a host may have', () => {
  assert.deepEqual(['Annas-MacBook.local', 'vm', '_x_', '---', 'a'.repeat(80)].map(hostNameOf), [
    'annas-macbook',
    'vm',
    'x',
    'local',
    'a'.repeat(63),
  ])
})
