import assert from 'node:assert/strict'
import { test } from 'node:test'
import { containerName, containerRequest, fingerprintOf, volumeName } from './containers.ts'
import { toCreateOptions } from './engine/docker-shapes.ts'
import { readLabels } from './labels.ts'
import { defaults, hostId, ownerHash, recipe, runtime, startCommand } from './testing/orders.ts'
import vectors from './vectors.json' with { type: 'json' }

const requestFor = (
  more: Parameters<typeof startCommand>[0] = {},
  host = defaults,
  reach: 'bridge' | 'published' = 'bridge',
) => containerRequest({ hostId, id: runtime, command: startCommand(more), key: 'the-key' }, host, reach)

test('names are those of the single-host program', () => {
  for (const row of vectors.names) {
    assert.equal(containerName(defaults, row.owner_hash), row.container_name)
    assert.equal(volumeName(defaults, row.owner_hash), row.volume_name)
  }
})

test('labels name the owner as before, and everything the agent must know again after a restart', () => {
  const { labels } = requestFor({ generation: 3 })
  assert.equal(labels['browser_use.runtime'], 'true')
  assert.equal(labels['browser_use.owner_hash'], ownerHash)
  assert.equal(labels['browser_use.managed_by'], 'browser_runtime_manager')
  assert.deepEqual(readLabels(labels, 'any'), {
    id: runtime,
    generation: 3,
    tenant: 'default',
    host: hostId,
    ownerHash,
    ports: { view: 6080, cdp: 9222, rpc: 8787 },
    health: { port: 'rpc', path: '/health' },
    keyed: true,
    stopSeconds: 1,
  })
  assert.equal(readLabels({ ...labels, 'porthole.generation': 'x' }, 'any'), undefined)
  assert.equal(readLabels({}, 'any'), undefined)
})

test('a container that was started without an owner is whose its name says, and of no tenant then', () => {
  const { name, labels, volumes, ...more } = requestFor({ warm: true, viewUrl: 'https://p/view', env: { A: 'b' } })
  assert.match(labels['porthole.warm'] ?? '', /^[0-9a-f]{32}$/)
  const { 'porthole.warm': warm, ...others } = labels
  // Nothing else differs, but that it steps back, and tells nobody of a view that may be another's.
  const { labels: usual, name: usualName, volumes: usualVolumes, ...rest } = requestFor()
  const env = { ...rest.env, PORTHOLE_WARM: '1' }
  assert.deepEqual([others, name, volumes, more], [usual, usualName, usualVolumes, { ...rest, env, cpuShares: 64 }])
  const waiting = readLabels(labels, name)
  assert.deepEqual([waiting?.ownerHash, waiting?.tenant, waiting?.warm], [ownerHash, 'default', warm])
  const given = readLabels(labels, containerName(defaults, 'f'.repeat(16)))
  assert.deepEqual([given?.ownerHash, given?.tenant, given?.warm], ['f'.repeat(16), undefined, undefined])
  assert.equal(given?.generation, 1 + (waiting?.generation ?? 0))
  // A dead one that the engine lists without a name is to be removed as the one that it was.
  const nameless = readLabels(labels, '')
  assert.deepEqual([nameless?.generation, nameless?.ownerHash], [waiting?.generation, ownerHash])
  assert.equal(readLabels(usual, containerName(defaults, 'f'.repeat(16)))?.ownerHash, ownerHash)
})

test('a fingerprint is of all that a container is made from but what is its owner’s, in any order', () => {
  const of = (more: Parameters<typeof recipe>[0] = {}, host = defaults) => fingerprintOf(recipe(more), host, 'bridge')
  assert.equal(of({ env: { A: '1', B: '2' } }), of({ env: { B: '2', A: '1' } }))
  assert.equal(of({}, { ...defaults, viewBase: 'https://v.example.com' }), of())
  const others = [
    ...[of({ image: 'other:1' }), of({ env: { A: '1' } }), of({ memoryBytes: 1 }), of({ cpus: 2 }), of({ gpus: 1 })],
    ...[of({ egress: 'none' }), of({ ports: { rpc: 8787 } }), of({ stopSeconds: 9 }), of({ tmpfs: {} })],
    ...[of({ volumePath: null }), of({ keyed: false }), of({ seccomp: 'default' }), of({ health: null })],
    ...[of({}, { ...defaults, image: 'other:2' }), of({}, { ...defaults, modelEnv: { OPENAI_API_KEY: 'x' } })],
    ...[of({}, { ...defaults, enableUi: false }), fingerprintOf(recipe(), defaults, 'published')],
  ]
  assert.equal(new Set([of(), ...others]).size, others.length + 1)
})

test('the request wins over the recipe, the recipe over the host, and reserved names over all', () => {
  const { env } = requestFor(
    {
      recipe: recipe({ env: { A: 'recipe', B: 'recipe', MODEL_DEFAULT: 'recipe' } }),
      env: {
        B: 'request',
        OPENAI_API_KEY: 'request',
        BROWSER_DATA_DIR: '/etc',
        BROWSER_VIEW_URL: 'x',
        PORTHOLE_KEY: 'x',
      },
    },
    { ...defaults, enableUi: false, modelEnv: { MODEL_DEFAULT: 'host', OPENAI_API_KEY: 'host', OPENAI_BASE_URL: '' } },
  )
  assert.deepEqual(env, {
    MODEL_DEFAULT: 'recipe',
    OPENAI_API_KEY: 'request',
    OPENAI_BASE_URL: '',
    A: 'recipe',
    B: 'request',
    BROWSER_ENABLE_UI: 'false',
    BROWSER_DATA_DIR: '/data',
    BROWSER_USE_RPC_HOST: '0.0.0.0',
    BROWSER_USE_RPC_PORT: '8787',
    PORTHOLE_KEY: 'the-key',
  })
})

test("the view URL is the command's, else the host's, else none", () => {
  const based = { ...defaults, viewBase: 'https://v.example.com' }
  assert.equal(requestFor({ viewUrl: 'https://p/view' }, based).env.BROWSER_VIEW_URL, 'https://p/view')
  assert.match(requestFor({}, based).env.BROWSER_VIEW_URL ?? '', /^https:\/\/v\.example\.com\/view\/2bd806c97f0e00af\//)
  assert.equal(requestFor().env.BROWSER_VIEW_URL, undefined)
})

test('a container gets no capability, no new privilege, no swap, no port on the host, and no restart', () => {
  const { HostConfig } = toCreateOptions(requestFor())
  assert.deepEqual(HostConfig?.CapDrop, ['ALL'])
  assert.equal(HostConfig?.SecurityOpt?.[0], 'no-new-privileges')
  assert.match(HostConfig?.SecurityOpt?.[1] ?? '', /^seccomp=\{"defaultAction":"SCMP_ACT_ERRNO"/)
  assert.equal(HostConfig?.ReadonlyRootfs, true)
  assert.equal(HostConfig?.Memory, 2 ** 30)
  assert.equal(HostConfig?.MemorySwap, 2 ** 30)
  assert.equal(HostConfig?.NanoCpus, 1e9)
  assert.equal(HostConfig?.PidsLimit, 512)
  assert.equal(HostConfig?.ShmSize, 2 ** 31)
  assert.deepEqual(HostConfig?.PortBindings, {})
  assert.deepEqual(HostConfig?.RestartPolicy, { Name: 'no' })
  assert.equal(HostConfig?.NetworkMode, 'browser-net')
  assert.deepEqual(HostConfig?.LogConfig, { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } })
  assert.deepEqual(HostConfig?.Mounts, [
    { Type: 'volume', Source: `browser-use-profile-${ownerHash}`, Target: '/data' },
  ])
  assert.deepEqual(toCreateOptions(requestFor({ recipe: recipe({ seccomp: 'default' }) })).HostConfig?.SecurityOpt, [
    'no-new-privileges',
  ])
})

test("the key stays the engine's secret: in the environment, not in labels or names", () => {
  const { env: _, ...open } = requestFor()
  assert.ok(!JSON.stringify(open).includes('the-key'))
  assert.equal(requestFor({ recipe: recipe({ keyed: false }) }).env.PORTHOLE_KEY, undefined)
})

test('where the bridge is out of reach, ports are published on the loopback alone', () => {
  const { HostConfig } = toCreateOptions(requestFor({}, defaults, 'published'))
  assert.deepEqual(HostConfig?.PortBindings?.['8787/tcp'], [{ HostIp: '127.0.0.1', HostPort: '' }])
})
