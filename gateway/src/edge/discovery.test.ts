import assert from 'node:assert/strict'
import { it } from 'node:test'
import { publicDiscovery } from './discovery.ts'

const hash = '2bd806c97f0e00af'

it('socket URLs come back through the gateway, as wss where it is https', () => {
  const list = [
    {
      id: 'A',
      title: 'ws://x/devtools/page/A',
      devtoolsFrontendUrl: '/devtools/inspector.html?ws=10.0.0.2:9222/devtools/page/A',
      webSocketDebuggerUrl: 'ws://172.18.0.2:9222/devtools/page/A',
    },
  ]
  assert.deepEqual(publicDiscovery('https://b.example.com/x', hash, list), [
    {
      id: 'A',
      title: 'ws://x/devtools/page/A',
      webSocketDebuggerUrl: `wss://b.example.com/x/cdp/${hash}/devtools/page/A`,
    },
  ])
  const version = { Browser: 'Chrome/1', webSocketDebuggerUrl: 'ws://127.0.0.1/devtools/browser/b-1' }
  assert.deepEqual(publicDiscovery('http://127.0.0.1:4747', hash, version), {
    Browser: 'Chrome/1',
    webSocketDebuggerUrl: `ws://127.0.0.1:4747/cdp/${hash}/devtools/browser/b-1`,
  })
})

it('a socket URL that leads elsewhere is left out', () => {
  assert.deepEqual(publicDiscovery('https://b', hash, { webSocketDebuggerUrl: 'ws://evil/' }), {})
  assert.deepEqual(publicDiscovery('https://b', hash, { webSocketDebuggerUrl: 'not a url' }), {})
})
