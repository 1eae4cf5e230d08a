import assert from 'node:assert/strict'
import test from 'node:test'
import { rewriteDiscovery } from './cdp-discovery.ts'

const rewrite = (value: unknown) =>
  JSON.parse(rewriteDiscovery(JSON.stringify(value), '127.0.0.1:40001', '172.17.0.2:9222'))

test('sockets are where the client asked, in a version and in a list', () => {
  const version = { Browser: 'Chrome/1', webSocketDebuggerUrl: 'ws://127.0.0.1:40001/devtools/browser/a' }
  assert.deepEqual(rewrite(version), { ...version, webSocketDebuggerUrl: 'ws://172.17.0.2:9222/devtools/browser/a' })
  assert.deepEqual(rewrite([{ devtoolsFrontendUrl: 'https://f.test/i.html?ws=127.0.0.1:40001/devtools/page/b' }]), [
    { devtoolsFrontendUrl: 'https://f.test/i.html?ws=172.17.0.2:9222/devtools/page/b' },
  ])
})

test('a page that has the inner address in its title or URL keeps it', () => {
  const target = {
    title: 'ws://127.0.0.1:40001/',
    url: 'http://127.0.0.1:40001/',
    webSocketDebuggerUrl: 'ws://127.0.0.1:40001/x',
  }
  assert.deepEqual(rewrite(target), { ...target, webSocketDebuggerUrl: 'ws://172.17.0.2:9222/x' })
})

test('what is not JSON passes as it is', () => {
  assert.equal(rewriteDiscovery('Target is closing', 'a', 'b'), 'Target is closing')
})
