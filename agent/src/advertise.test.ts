import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advertise } from './advertise.ts'
import { ConfigError } from './config.ts'

const urlOf = (tls: 'auto' | 'on' | 'off', agentUrl?: string, listenHost = '127.0.0.1') =>
  advertise({ tls, listenHost, ...(agentUrl === undefined ? {} : { agentUrl }) }).url(4748)

test('on the loopback an agent is plain, as ever', () => {
  assert.equal(urlOf('auto'), 'http://127.0.0.1:4748')
  assert.equal(urlOf('auto', undefined, '::1'), 'http://[::1]:4748')
  for (const url of ['http://localhost:1', 'http://127.0.0.2:1', 'https://localhost:1'])
    assert.equal(urlOf('auto', url), url)
})

test('anywhere else it serves TLS, at the port it was told', () => {
  assert.equal(urlOf('auto', 'http://10.0.0.5:4748'), 'https://10.0.0.5:4748')
  assert.equal(urlOf('auto', 'https://10.0.0.5:4748'), 'https://10.0.0.5:4748')
  assert.equal(urlOf('auto', 'http://box.example.com'), 'https://box.example.com:80')
  assert.equal(urlOf('auto', undefined, '10.0.0.5'), 'https://10.0.0.5:4748')
  assert.equal(urlOf('auto', undefined, 'fd00::5'), 'https://[fd00::5]:4748')
})

test('the operator can have TLS everywhere, or leave it to a proxy', () => {
  assert.equal(urlOf('on'), 'https://127.0.0.1:4748')
  assert.equal(urlOf('off', 'https://agents.example.com'), 'https://agents.example.com')
  assert.equal(urlOf('off', 'http://10.0.0.5:4748'), 'http://10.0.0.5:4748')
})

test('the certificate is for the host in the URL', () => {
  assert.deepEqual(
    ['http://box.example.com:1', 'https://[fd00::5]:1'].map(
      agentUrl => advertise({ tls: 'on', agentUrl, listenHost: '::' }).host,
    ),
    ['box.example.com', 'fd00::5'],
  )
})

test('an agent on every address must be told which one is meant', () => {
  for (const host of ['0.0.0.0', '::'])
    assert.throws(
      () => urlOf('auto', undefined, host),
      (error: unknown) => error instanceof ConfigError && error.variable === 'PORTHOLE_AGENT_URL',
    )
})
