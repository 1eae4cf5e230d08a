import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readNameservers } from './nameservers.ts'

const read = (files: Record<string, string>) => readNameservers(async path => files[path])

test("the engine's own name servers come before the machine's", async () => {
  const machine = { '/etc/resolv.conf': '# x\nsearch a\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\n' }
  assert.deepEqual(await read(machine), ['10.0.0.2'])
  assert.deepEqual(await read({ ...machine, '/etc/docker/daemon.json': '{"dns":["10.9.9.9"]}' }), ['10.9.9.9'])
  assert.deepEqual(await read({ ...machine, '/etc/docker/daemon.json': 'not json' }), ['10.0.0.2'])
})

test('behind a stub on the loopback are the name servers that it asks', async () => {
  const stub = { '/etc/resolv.conf': 'nameserver 127.0.0.53\n' }
  assert.deepEqual(await read(stub), [])
  const systemd = { '/run/systemd/resolve/resolv.conf': 'nameserver 192.168.1.1\n' }
  assert.deepEqual(await read({ ...stub, ...systemd }), ['192.168.1.1'])
})
