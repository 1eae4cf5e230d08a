import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { EngineNotFound, type Files, locateEngine } from './locate.ts'

const home = '/home/u'
const files = (contents: Record<string, string>, sockets: string[] = []): Files => ({
  read: async path => contents[path],
  isSocket: async path => sockets.includes(path),
})
const meta = (name: string) =>
  `${home}/.docker/contexts/meta/${createHash('sha256').update(name).digest('hex')}/meta.json`
const tls = (name: string, file: string) =>
  `${home}/.docker/contexts/tls/${createHash('sha256').update(name).digest('hex')}/docker/${file}`

test('DOCKER_HOST wins over everything', async () => {
  const found = await locateEngine({ home, dockerHost: 'unix:///run/x.sock' }, files({}, ['/var/run/docker.sock']))
  assert.deepEqual(found, { address: { socketPath: '/run/x.sock' }, from: 'DOCKER_HOST' })
  const tcp = await locateEngine({ home, dockerHost: 'tcp://127.0.0.1:2375' }, files({}))
  assert.deepEqual(tcp.address, { host: '127.0.0.1', port: 2375 })
  assert.deepEqual((await locateEngine({ home, dockerHost: '10.0.0.1' }, files({}))).address, {
    host: '10.0.0.1',
    port: 2375,
  })
})

test('DOCKER_HOST with TLS reads its certificates', async () => {
  const pems = { '/c/ca.pem': 'A', '/c/cert.pem': 'B', '/c/key.pem': 'C' }
  const env = { home, dockerHost: 'tcp://h', tlsVerify: true, certPath: '/c' }
  assert.deepEqual((await locateEngine(env, files(pems))).address, {
    host: 'h',
    port: 2376,
    tls: { ca: 'A', cert: 'B', key: 'C' },
  })
  await assert.rejects(locateEngine(env, files({})), EngineNotFound)
})

test('an engine over ssh is refused with a reason', async () => {
  await assert.rejects(locateEngine({ home, dockerHost: 'ssh://u@h' }, files({})), /runs beside its engine/)
})

test('the current context is followed', async () => {
  const contents = {
    [`${home}/.docker/config.json`]: '{"currentContext":"colima","auths":{}}',
    [meta('colima')]: '{"Name":"colima","Endpoints":{"docker":{"Host":"unix:///c.sock","SkipTLSVerify":false}}}',
  }
  const found = await locateEngine({ home }, files(contents, ['/var/run/docker.sock']))
  assert.deepEqual(found, { address: { socketPath: '/c.sock' }, from: 'context colima' })
})

test('a context with certificates speaks TLS', async () => {
  const contents = {
    [meta('far')]: '{"Endpoints":{"docker":{"Host":"tcp://h:2376"}}}',
    [tls('far', 'ca.pem')]: 'A',
    [tls('far', 'cert.pem')]: 'B',
    [tls('far', 'key.pem')]: 'C',
  }
  const found = await locateEngine({ home, dockerContext: 'far' }, files(contents))
  assert.deepEqual(found.address, { host: 'h', port: 2376, tls: { ca: 'A', cert: 'B', key: 'C' } })
})

test('the default context means the usual places', async () => {
  const contents = { [`${home}/.docker/config.json`]: '{"currentContext":"default"}' }
  const found = await locateEngine({ home }, files(contents, ['/var/run/docker.sock']))
  assert.equal(found.from, '/var/run/docker.sock')
})

test('a chosen context that is not defined is an error, not another engine', async () => {
  const contents = { [`${home}/.docker/config.json`]: '{"currentContext":"gone"}' }
  await assert.rejects(locateEngine({ home }, files(contents, ['/var/run/docker.sock'])), /"gone"/)
})

test('a broken config file is an error that names it', async () => {
  await assert.rejects(locateEngine({ home }, files({ [`${home}/.docker/config.json`]: '{' })), /config\.json/)
})

test('the usual sockets are tried in order', async () => {
  const env = { home, runtimeDir: '/run/user/1000' }
  const sockets = [
    '/var/run/docker.sock',
    '/run/user/1000/docker.sock',
    '/run/user/1000/podman/podman.sock',
    `${home}/.docker/run/docker.sock`,
    `${home}/.colima/default/docker.sock`,
    `${home}/.orbstack/run/docker.sock`,
  ]
  for (const [at, socketPath] of sockets.entries()) {
    assert.deepEqual((await locateEngine(env, files({}, sockets.slice(at)))).address, { socketPath })
  }
  await assert.rejects(locateEngine(env, files({})), /Install or start one/)
})
