import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigError, parseConfig, slugify } from './config.ts'

const least = { PORTHOLE_GATEWAY_URL: 'http://127.0.0.1:4747/' }

test('a gateway URL is enough', () => {
  const config = parseConfig(least)
  assert.equal(config.gatewayUrl, 'http://127.0.0.1:4747')
  assert.equal(config.listenHost, '127.0.0.1')
  assert.equal(config.port, 4748)
  assert.equal(config.dataDir, '/var/lib/porthole-agent')
  assert.equal(config.slots, 100)
  assert.equal(config.firewall, 'best-effort')
  assert.equal(config.tls, 'auto')
  assert.equal(config.gatewayCa, undefined)
  assert.equal(config.memoryReserveBytes, 2 ** 30)
  assert.equal(config.swapOut, false)
  assert.equal(config.joinToken, undefined)
  assert.deepEqual(config.containers, {
    containerPrefix: 'browser-use-browser-',
    volumePrefix: 'browser-use-profile-',
    network: 'browser-net',
    image: 'browser-use-browser-runtime:latest',
    enableUi: true,
    viewBase: '',
    modelEnv: {},
  })
})

test('the names of the single-host program are taken', () => {
  const { containers } = parseConfig({
    ...least,
    BROWSER_RUNTIME_IMAGE: ' my/img:1 ',
    BROWSER_RUNTIME_NETWORK: 'n1',
    BROWSER_RUNTIME_ENABLE_UI: '',
    BROWSER_VIEW_URL: 'https://v.example.com/vnc.html',
    OPENAI_BASE_URL: '',
    OPENAI_API_KEY: 'sk-1',
  })
  assert.equal(containers.image, 'my/img:1')
  assert.equal(containers.network, 'n1')
  assert.equal(containers.enableUi, false)
  assert.equal(containers.viewBase, 'https://v.example.com')
  assert.deepEqual(containers.modelEnv, { OPENAI_API_KEY: 'sk-1', OPENAI_BASE_URL: '' })
})

test('a malformed value stops the start, names its variable and is not shown', () => {
  const malformed: [string, string][] = [
    ['PORTHOLE_GATEWAY_URL', 'gateway.secret'],
    ['PORTHOLE_GATEWAY_URL', 'https://user:secret@h'],
    ['PORTHOLE_AGENT_URL', 'ftp://secret'],
    ['PORT', '80secret'],
    ['PORT', '65536'],
    ['PORTHOLE_SLOTS', '-1'],
    ['PORTHOLE_MEMORY_RESERVE_MB', '1e3'],
    ['PORTHOLE_HOST_NAME', 'Secret Host'],
    ['PORTHOLE_CONTAINER_PREFIX', '-secret'],
    ['PORTHOLE_VOLUME_PREFIX', 'secret/x'],
    ['PORTHOLE_EXIT_WITH_PARENT', 'secret'],
    ['PORTHOLE_SWAP_OUT', 'secret'],
    ['PORTHOLE_REACH', 'secret'],
    ['PORTHOLE_FIREWALL', 'secret'],
    ['PORTHOLE_TLS', 'secret'],
    ['LOG_LEVEL', 'secret'],
    ['BROWSER_RUNTIME_IMAGE', 'secret image'],
    ['BROWSER_RUNTIME_NETWORK', 'secret net'],
    ['BROWSER_RUNTIME_TTL_SECONDS', '12secret'],
    ['BROWSER_RUNTIME_START_TIMEOUT', 'secret'],
    ['BROWSER_RUNTIME_ENABLE_UI', 'secret'],
    ['BROWSER_USE_ISOLATION_MODE', 'secret'],
    ['BROWSER_URL', 'secret'],
    ['BROWSER_VIEW_BASE_URL', 'secret'],
  ]
  for (const [variable, value] of malformed) {
    assert.throws(
      () => parseConfig({ ...least, [variable]: value }),
      (error: unknown) =>
        error instanceof ConfigError && error.variable === variable && !error.message.includes('secret'),
      variable,
    )
  }
  assert.throws(() => parseConfig({}), /PORTHOLE_GATEWAY_URL is not set/)
})

test('numbers and switches are read as the single-host program read them', () => {
  const switches = { PORTHOLE_EXIT_WITH_PARENT: 'YES', PORTHOLE_SWAP_OUT: 'on' }
  const config = parseConfig({ ...least, PORT: ' 0 ', PORTHOLE_SLOTS: '1_0', ...switches })
  assert.equal(config.port, 0)
  assert.equal(config.slots, 10)
  assert.equal(config.exitWithParent, true)
  assert.equal(config.swapOut, true)
})

test("a machine's name becomes a host name", () => {
  assert.equal(slugify('Build Box.local'), 'build-box-local')
  assert.equal(slugify('___'), 'host')
  assert.equal(slugify('x'.repeat(80)).length, 63)
})
