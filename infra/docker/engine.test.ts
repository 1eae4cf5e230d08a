import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { candidates, parseAddress } from './addresses.ts'
import { parseEngineConfig } from './config.ts'
import { isStalePid, reasonIn } from './daemon.ts'
import { choose } from './engine.ts'
import { isDebianFamily } from './install.ts'
import * as messages from './messages.ts'
import { classify } from './probe.ts'
import { ensureSpace } from './space.ts'

const home = mkdtempSync(join(tmpdir(), 'porthole-home-'))
after(() => rmSync(home, { recursive: true }))
const addresses = (env: NodeJS.ProcessEnv) =>
  candidates(parseEngineConfig(env, home), false).map(({ address }) => address)

describe('where to look for an engine', () => {
  it('DOCKER_HOST stands alone', () => {
    assert.deepEqual(addresses({ DOCKER_HOST: 'tcp://10.0.0.1:2375' }), ['tcp://10.0.0.1:2375'])
  })

  it('a blank DOCKER_HOST is none, and the usual sockets are asked', () => {
    const asked = addresses({ DOCKER_HOST: '', XDG_RUNTIME_DIR: '/run/user/7' })
    assert.equal(asked[0], 'unix:///var/run/docker.sock')
    for (const part of ['/run/user/7/docker.sock', '.colima', '.orbstack', 'podman']) {
      assert.ok(
        asked.some(address => address.includes(part)),
        part,
      )
    }
  })

  it('the current docker context stands alone, and the default one is none', () => {
    const meta = join(home, '.docker/contexts/meta', createHash('sha256').update('colima').digest('hex'))
    mkdirSync(meta, { recursive: true })
    writeFileSync(join(meta, 'meta.json'), JSON.stringify({ Endpoints: { docker: { Host: 'unix:///colima.sock' } } }))
    assert.deepEqual(addresses({ DOCKER_CONTEXT: 'colima' }), ['unix:///colima.sock'])
    writeFileSync(join(home, '.docker/config.json'), JSON.stringify({ currentContext: 'colima' }))
    assert.deepEqual(addresses({}), ['unix:///colima.sock'])
    assert.ok(addresses({ DOCKER_CONTEXT: 'default' }).length > 3)
  })

  it('addresses are read as docker reads them', () => {
    const plain = { tls: false, certPath: undefined }
    assert.deepEqual(parseAddress('unix:///var/run/docker.sock', plain), { socketPath: '/var/run/docker.sock' })
    const tcp = { protocol: 'http', host: 'box', port: 2375, certPath: undefined }
    assert.deepEqual(parseAddress('tcp://box', plain), tcp)
    assert.deepEqual(parseAddress('tcp://box', { tls: true, certPath: '/c' }), {
      ...tcp,
      protocol: 'https',
      port: 2376,
      certPath: '/c',
    })
    assert.throws(() => parseAddress('ssh://box', plain), /unix:\/\/\/path\/to\/docker\.sock and tcp/)
  })
})

describe('what the answers come to', () => {
  const linux = { platform: 'linux', isRoot: false, isDebian: true, user: 'anna' } as const
  const at = (address: string, from = 'socket') => ({ address, from })
  const denied = Object.assign(new Error('connect EACCES'), { code: 'EACCES' })
  const missing = Object.assign(new Error('connect ENOENT'), { code: 'ENOENT' })

  it('the first that answers is taken, even past one that refuses', () => {
    const asked = [
      [at('unix:///a'), classify(denied)],
      [at('unix:///b'), { kind: 'answers' }],
    ] as const
    assert.equal(choose(asked, linux), 'unix:///b')
  })

  it('none at all is no error yet', () => {
    assert.equal(choose([[at('unix:///a'), classify(missing)]], linux), undefined)
  })

  it('one that refuses names the group and the user', () => {
    assert.throws(() => choose([[at('unix:///a'), classify(denied)]], linux), /usermod -aG docker anna/)
  })

  it('one that was named and is silent says who named it', () => {
    assert.throws(() => choose([[at('unix:///a', 'DOCKER_HOST'), classify(missing)]], linux), /which DOCKER_HOST names/)
  })

  it('one that is there and fails is not taken for absent', () => {
    assert.throws(() => choose([[at('unix:///a'), classify(new Error('HTTP 500'))]], linux), /does not work: HTTP 500/)
  })

  it('each system is told what fits it', () => {
    assert.match(messages.noEngine({ ...linux, platform: 'darwin' }), /colima/)
    assert.match(messages.noEngine(linux), /sudo npm run up/)
    assert.match(messages.noEngine({ ...linux, isDebian: false }), /docs\.docker\.com/)
    assert.match(messages.noEngine({ ...linux, isRoot: true, isDebian: false }), /only on Debian and Ubuntu/)
  })
})

it('of a daemon’s log only the reason is told', () => {
  const log =
    'time="1" level=info msg="Starting up"\nfailed to start daemon: Devices cgroup is not mounted\ntime="2" level=info msg="bye"'
  assert.equal(reasonIn(log), 'failed to start daemon: Devices cgroup is not mounted')
  assert.equal(reasonIn('a\nb'), 'a\nb')
})

describe('a pid file', () => {
  it('stands in the way unless it names a running dockerd', () => {
    assert.equal(isStalePid('', 'dockerd'), true)
    assert.equal(isStalePid('node server.js dockerd', 'dockerd'), true)
    assert.equal(isStalePid('/usr/sbin/dockerd --host unix:///x', 'dockerd'), false)
    assert.equal(isStalePid('dockerd', 'dockerd'), false)
    assert.equal(isStalePid('dockerd', 'containerd'), true)
  })
})

it('Debian and its children are known by os-release', () => {
  assert.ok(isDebianFamily('NAME="Debian GNU/Linux"\nID=debian\n'))
  assert.ok(isDebianFamily('ID=linuxmint\nID_LIKE="ubuntu debian"\n'))
  assert.ok(!isDebianFamily('ID=fedora\nHOME_URL="https://debian.example"\n'))
})

it('less than 3 GB of room is told before anything starts', () => {
  assert.throws(() => ensureSpace('/repo', 'this repo', () => 2.94e9), /Only 2\.9 GB are free at \/repo/)
  ensureSpace('/repo', 'this repo', () => 3e9)
  ensureSpace('/repo', 'this repo', () => undefined)
})
