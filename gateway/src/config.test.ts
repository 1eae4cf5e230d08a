import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ConfigError, parseConfig } from './config.ts'

const good = { DATABASE_URL: 'postgres://u:hunter2@localhost/db', PORTHOLE_SECRET: 's'.repeat(32) }

describe('parseConfig', () => {
  it('has defaults for all but the database and the secret', () => {
    const config = parseConfig(good)
    assert.equal(config.port, 4747)
    assert.equal(config.listenHost, '127.0.0.1')
    assert.equal(config.publicUrl, undefined)
    assert.equal(config.startTimeoutMs, 45_000)
    assert.equal(config.stopSeconds, 900)
    assert.equal(parseConfig({ ...good, PORTHOLE_STOP_AFTER: '0' }).stopSeconds, 0)
    assert.equal(config.warm, 0)
    assert.equal(parseConfig({ ...good, PORTHOLE_WARM: '2' }).warm, 2)
    assert.equal(parseConfig({ ...good, PORTHOLE_WARM: 'auto' }).warm, 'auto')
    for (const PORTHOLE_WARM of ['-1', 'all', '101', '1.5'])
      assert.throws(() => parseConfig({ ...good, PORTHOLE_WARM }), /PORTHOLE_WARM must be auto, or a number/)
    assert.equal(config.allowPlainAgents, false)
    assert.equal(parseConfig({ ...good, PORTHOLE_ALLOW_PLAIN_AGENTS: 'true' }).allowPlainAgents, true)
  })

  it('bounds connections and slow requests, and exempts only the proxies that are named', () => {
    const { limits } = parseConfig(good)
    assert.deepEqual(limits, {
      connections: 10_000,
      connectionsPerAddress: 2000,
      proxies: ['127.0.0.1', '::1'],
      headMs: 15_000,
      bodyMs: 30_000,
      open: 8000,
      openPerTenant: 6000,
      openPerOwner: 500,
      socketIdleMs: 7_200_000,
      socketAgeMs: 86_400_000,
    })
    const endless = parseConfig({ ...good, PORTHOLE_SOCKET_IDLE: '0', PORTHOLE_SOCKET_AGE: '0' }).limits
    assert.deepEqual([endless.socketIdleMs, endless.socketAgeMs], [0, 0])
    assert.deepEqual(parseConfig({ ...good, PORTHOLE_PROXIES: '' }).limits.proxies, [])
    assert.deepEqual(parseConfig({ ...good, PORTHOLE_PROXIES: '10.0.0.7,fd00::1' }).limits.proxies, [
      '10.0.0.7',
      'fd00::1',
    ])
  })

  it('reads specs from the file that is named, and the domain of ports', () => {
    const readText = (path: string) => (path === '/etc/specs.json' ? '{"site": {"ports": {"app": 3000}}}' : '')
    const env = { ...good, PORTHOLE_SPECS: '/etc/specs.json', PORTHOLE_PORT_DOMAIN: ' Ports.Example.com ' }
    const { specs, portDomain } = parseConfig(env, readText)
    assert.deepEqual([specs.map(({ recipe }) => recipe.name), portDomain], [['site'], 'ports.example.com'])
    assert.throws(() => parseConfig({ ...env, PORTHOLE_SPECS: '/other' }, readText), /PORTHOLE_SPECS.*not JSON/)
  })

  it('normalises the public URL as the original did', () => {
    assert.equal(
      parseConfig({ ...good, PUBLIC_URL: ' https://b.example.com/x/vnc.html?path=websockify ' }).publicUrl,
      'https://b.example.com/x',
    )
  })

  const bad = {
    'no database': { DATABASE_URL: '' },
    'a database that is no Postgres': { DATABASE_URL: 'mysql://u:hunter2@localhost/db' },
    'no secret': { PORTHOLE_SECRET: ' ' },
    'a short secret': { PORTHOLE_SECRET: 'hunter2' },
    'a port that is no number': { PORT: '80a' },
    'a port out of range': { PORT: '70000' },
    'a public URL that is none': { PUBLIC_URL: 'example.com' },
    'a public URL with a query': { PUBLIC_URL: 'https://example.com/?a=b' },
    'an origin with a path': { PORTHOLE_ALLOWED_ORIGINS: 'https://a.example.com,https://b.example.com/x' },
    'a switch that is neither on nor off': { PORTHOLE_ALLOW_PLAIN_AGENTS: 'hunter2' },
    'no connections at all': { PORTHOLE_MAX_CONNECTIONS: '0' },
    'an address with no connections': { PORTHOLE_MAX_CONNECTIONS_PER_ADDRESS: '0' },
    'a proxy that is a name': { PORTHOLE_PROXIES: '10.0.0.7,proxy.internal' },
    'a head that may take for ever': { PORTHOLE_HEAD_TIMEOUT: '0' },
    'a body that may take for ever': { PORTHOLE_BODY_TIMEOUT: '0' },
    'an owner who may open nothing': { PORTHOLE_MAX_OPEN_PER_OWNER: '0' },
    'a tenant who may open nothing': { PORTHOLE_MAX_OPEN_PER_TENANT: '0' },
    'a gateway that opens nothing': { PORTHOLE_MAX_OPEN: '0' },
    'a silence that is no number': { PORTHOLE_SOCKET_IDLE: '2h' },
    'an age that is no number': { PORTHOLE_SOCKET_AGE: 'a day' },
    'a domain of ports that is an address': { PORTHOLE_PORT_DOMAIN: '127.0.0.1' },
    'a domain of ports with a wildcard': { PORTHOLE_PORT_DOMAIN: '*.ports.example.com' },
    'specs that are in no file': { PORTHOLE_SPECS: '/no/such/specs.json' },
    'a log level that is none': { LOG_LEVEL: 'loud' },
    'a start timeout of nothing': { BROWSER_RUNTIME_START_TIMEOUT: '0' },
  }
  for (const [what, env] of Object.entries(bad))
    it(`refuses ${what}, naming the setting and no secret`, () => {
      assert.throws(
        () => parseConfig({ ...good, ...env }),
        (error: unknown) => {
          assert(error instanceof ConfigError)
          assert(error.message.includes(Object.keys(env)[0] ?? ''))
          assert(!error.message.includes('hunter2'))
          return true
        },
      )
    })
})
