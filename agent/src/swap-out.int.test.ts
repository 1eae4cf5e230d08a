import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import Docker from 'dockerode'
import { agentTestLog } from '../../test/kit/logs.ts'
import { createAddresses } from './addresses.ts'
import { dockerEngine } from './engine/docker.ts'
import { httpProbe } from './health.ts'
import { createRuntimes } from './runtimes.ts'
import { createSwapOut, type SwapOutEnd } from './swap-out.ts'
import { swapPaused } from './swap-out-engine.ts'
import { kernelFolders, memoryGroupOf, residentBytes } from './swap-out-group.ts'
import { realEngine } from './testing/config.ts'
import { recipe, startCommand } from './testing/orders.ts'
import { ownHost } from './testing/run.ts'

const { address, image } = await realEngine()
const engine = dockerEngine(address)
const docker = new Docker(address)
const log = agentTestLog('agent')
const { run, hostId, defaults } = ownHost(image)

/** CAP_SYS_ADMIN, which root in a container usually lacks: bit 21 of what the kernel says of this process. */
const isAdmin = (status: string) => (BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`) >> 21n) & 1n
const mayAddSwap = existsSync('/proc/swaps') && isAdmin(readFileSync('/proc/self/status', 'utf8')) === 1n
const heldBytes = 100 * 2 ** 20
/** With room for what the kernel puts there from elsewhere. */
const swapBytes = 2 ** 28

/** Holds 100 different mebibytes, and answers every request with their checksum. */
const holder = [
  '/usr/bin/perl',
  '-MIO::Socket::INET',
  '-e',
  `$SIG{TERM} = sub { exit 0 }; my $one = pack('N*', map { int rand 2**32 } 1 .. 262144);
   my $held = join '', map { $one ^ (chr($_) x 1048576) } 1 .. 100;
   my $s = IO::Socket::INET->new(Listen => 16, LocalPort => 8787, ReuseAddr => 1) or die;
   while (1) { my $c = $s->accept or next; while (my $line = <$c>) { last if $line =~ /^\\r?$/ }
     my $sum = length($held) . ' ' . unpack('%32N*', $held);
     print $c "HTTP/1.1 200 OK\\r\\nContent-Length: ", length $sum, "\\r\\nConnection: close\\r\\n\\r\\n$sum"; close $c }`,
]

const program = async (name: string, ...args: string[]): Promise<void> => {
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' }
  await promisify(execFile)(name, args, { env, timeout: 60_000, killSignal: 'SIGKILL' })
}

/** Without holes, which swap must not have. */
const writeZeros = async (path: string, bytes: number): Promise<void> => {
  const file = await open(path, 'wx', 0o600)
  const piece = Buffer.alloc(2 ** 24)
  try {
    for (let at = 0; at < bytes; at += piece.length) await file.write(piece)
    await file.sync()
  } finally {
    await file.close()
  }
}

describe('on a machine with swap', {
  skip: !mayAddSwap && 'needs Linux, and the right to add swap',
  timeout: 180_000,
}, () => {
  let folder = ''
  let isSwapOn = false
  let ended: Promise<SwapOutEnd> | undefined
  const stop = new AbortController()
  const swapOut = createSwapOut({ engine, folders: kernelFolders, signal: stop.signal, log })
  const begin = (id: string) => {
    ended = swapOut.begin(id)
    return ended
  }
  const runtimes = createRuntimes({
    ...{ engine: swapPaused(engine, { ...swapOut, begin }), probe: httpProbe(), hostId, defaults, reach: 'bridge' },
    ...{ startsAtOnce: 1, log },
  })

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'porthole-swap-'))
    const file = join(folder, 'swapfile')
    await writeZeros(file, swapBytes)
    await program('mkswap', file)
    try {
      await program('swapon', file)
    } catch (cause) {
      throw new Error(
        `this machine takes no swap file in ${folder}: point TMPDIR at ext4 or xfs, or skip this by running without root`,
        { cause },
      )
    }
    isSwapOn = true
  })

  after(async () => {
    stop.abort()
    try {
      for (const { Id } of await docker.listContainers({
        all: true,
        filters: { label: [`porthole.host=${hostId}`] },
      })) {
        await docker.getContainer(Id).remove({ force: true, v: true })
      }
      const { Volumes } = await docker.listVolumes({ filters: { label: [`porthole.host=${hostId}`] } })
      for (const { Name } of Volumes) await docker.getVolume(Name).remove()
      for (const { Id } of await docker.listNetworks({ filters: { name: [defaults.network] } })) {
        await docker.getNetwork(Id).remove()
      }
    } finally {
      if (isSwapOn) await program('swapoff', join(folder, 'swapfile'))
      await rm(folder, { recursive: true, force: true })
    }
  })

  test('a paused runtime leaves memory, and goes on with all that it had', async () => {
    const id = 'rt_01K0000000000000000000000A'
    const ownerHash = `${run}00000001`
    const limits = { memoryBytes: 2 ** 29, shmBytes: 2 ** 26, pids: 64, ports: { rpc: 8787 } }
    const spec = recipe({ image, entrypoint: holder, command: [], keyed: false, ...limits })
    await runtimes.start(id, startCommand({ ownerHash, recipe: spec, deadlineMs: 60_000 }))
    const container = (await engine.inspect(`${defaults.containerPrefix}${ownerHash}`)) ?? assert.fail('it has started')
    const group = await memoryGroupOf(container, kernelFolders)
    if ('leftAlone' in group) assert.fail(`the engine's containers are not this machine's: ${group.leftAlone}`)
    const { origins } = await createAddresses({ engine, hostId, reach: 'bridge', log }).find(id)
    const held = () => bodyOf(`${origins.rpc}/`)
    const heldBefore = await held()
    assert.match(heldBefore, new RegExp(`^${heldBytes} \\d+$`))
    const before = await residentBytes(group)
    assert.ok(before > heldBytes, `${before} bytes are resident`)

    await runtimes.pause(id, { generation: 1 })
    assert.equal(await ended, 'swapped')
    const paused = await residentBytes(group)
    assert.ok(paused < before / 2, `${paused} of ${before} bytes are resident`)

    assert.equal((await runtimes.resume(id, { generation: 1 })).state, 'running')
    assert.equal(await held(), heldBefore)

    // Wanted again at once: however far that had come, it goes on.
    await runtimes.pause(id, { generation: 1 })
    await runtimes.resume(id, { generation: 1 })
    assert.ok(['stopped', 'swapped'].includes((await ended) ?? ''))
    assert.equal(await held(), heldBefore)
    await runtimes.delete(id, { generation: 1, ownerHash, removeVolume: true })
  })
})

const bodyOf = (url: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const request = http.get(url, { signal: AbortSignal.timeout(30_000) }, answer => {
      answer
        .setEncoding('utf8')
        .toArray()
        .then(parts => resolve(parts.join('')), reject)
    })
    request.on('error', reject)
  })
