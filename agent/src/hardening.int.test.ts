import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import Docker from 'dockerode'
import { agentTestLog } from '../../test/kit/logs.ts'
import { keyOf, originOf } from './containers.ts'
import { dockerEngine } from './engine/docker.ts'
import { httpProbe } from './health.ts'
import { createRuntimes } from './runtimes.ts'
import { realEngine } from './testing/config.ts'
import { runIn } from './testing/inside.ts'
import { recipe, startCommand } from './testing/orders.ts'
import { ownHost } from './testing/run.ts'

const { address, image } = await realEngine()
const engine = dockerEngine(address)
const docker = new Docker(address)
const log = agentTestLog('agent')
const { run, hostId, defaults } = ownHost(image)
const memoryBytes = 2 ** 30
const pids = 400
const probe = httpProbe()

/** `perl -e` with system calls by their numbers, which are those of x86-64. */
const isFit = image.startsWith('browser-use-browser-runtime') && process.arch === 'x64'

describe('from inside a browser runtime', {
  skip: !isFit && 'needs the browser image on x86-64',
  timeout: 180_000,
}, () => {
  const runtimes = createRuntimes({ engine, probe, hostId, defaults, reach: 'bridge', startsAtOnce: 2, log })
  let name = ''
  let neighbour = ''

  const start = async (at: number): Promise<string> => {
    const ownerHash = `${run}${String(at).padStart(8, '0')}`
    const id = `rt_01K0000000000000000000000${at}`
    const tmpfs = { '/tmp': 2 ** 26, '/run': 2 ** 24 }
    const spec = recipe({ image, tmpfs, memoryBytes, pids, shmBytes: 2 ** 28 })
    await runtimes.start(id, startCommand({ ownerHash, recipe: spec, deadlineMs: 60_000 }))
    return `${defaults.containerPrefix}${ownerHash}`
  }
  /** Standard output and error of what a taken-over browser could run: its user, its limits, its namespaces. */
  const inside = async (script: string): Promise<string> =>
    (await runIn(docker, name, ['sh', '-c', script])).output.trim()
  /** What system calls give: 0 or more, or the number of the error. */
  const perl = async (script: string): Promise<string> =>
    (await runIn(docker, name, ['/usr/bin/perl', '-e', script])).output.trim()
  const errno = (call: string) => perl(`my $r = ${call}; print $r == -1 ? 'errno ' . ($! + 0) : "gives $r"`)
  const inspect = () => docker.getContainer(name).inspect()
  const isHealthy = async (container: string): Promise<boolean> => {
    const found = await engine.inspect(container)
    const origin = found && originOf(found, 8787, 'bridge')
    const key = found && keyOf(found)
    if (!origin || !key) return false
    const signal = AbortSignal.timeout(5000)
    return (await probe({ origin, path: '/health', key }, signal).catch(() => ({ ok: false }))).ok
  }
  const eventuallyHealthy = async (container: string): Promise<void> => {
    const deadline = AbortSignal.timeout(30_000)
    while (!(await isHealthy(container))) assert.ok(!deadline.aborted, `${container} is not healthy any more`)
  }
  const startedAt = async (container: string) => (await docker.getContainer(container).inspect()).State.StartedAt

  before(async () => {
    ;[name, neighbour] = await Promise.all([start(1), start(2)])
  })

  after(async () => {
    for (const { Id } of await docker.listContainers({ all: true, filters: { label: [`porthole.host=${hostId}`] } })) {
      await docker.getContainer(Id).remove({ force: true, v: true })
    }
    const { Volumes } = await docker.listVolumes({ filters: { label: [`porthole.host=${hostId}`] } })
    for (const { Name } of Volumes) await docker.getVolume(Name).remove()
    await docker.getNetwork(defaults.network).remove()
  })

  test('it is made without rights, with limits, and with nothing of the host', async () => {
    const { Config, HostConfig, Mounts, NetworkSettings } = await inspect()
    assert.equal(Config.User, '1000:1000')
    assert.equal(HostConfig.Privileged, false)
    assert.deepEqual(HostConfig.CapDrop, ['ALL'])
    assert.equal(HostConfig.CapAdd ?? null, null)
    assert.ok(HostConfig.SecurityOpt?.includes('no-new-privileges'))
    const seccomp = HostConfig.SecurityOpt?.find((option: string) => option.startsWith('seccomp={')) ?? ''
    assert.equal(JSON.parse(seccomp.slice('seccomp='.length)).defaultAction, 'SCMP_ACT_ERRNO')
    assert.equal(HostConfig.ReadonlyRootfs, true)
    assert.equal(HostConfig.PidsLimit, pids)
    assert.equal(HostConfig.Memory, memoryBytes)
    assert.equal(HostConfig.MemorySwap, memoryBytes)
    assert.deepEqual(HostConfig.PortBindings, {})
    assert.deepEqual(Object.values(NetworkSettings.Ports).filter(Boolean), [])
    assert.deepEqual(HostConfig.Binds ?? [], [])
    assert.deepEqual(HostConfig.Devices ?? [], [])
    assert.deepEqual(
      Mounts.map(mount => [mount.Type, mount.Destination]),
      [['volume', '/data']],
    )
    for (const mode of [HostConfig.PidMode, HostConfig.UTSMode, HostConfig.UsernsMode]) assert.equal(mode ?? '', '')
    assert.notEqual(HostConfig.IpcMode, 'host')
  })

  test('no process has a capability, and none can get one', async () => {
    const script = `for p in /proc/[0-9]*; do
      uid=$(stat -c %u $p 2>/dev/null); grep -E '^(Uid|CapPrm|CapEff|CapBnd|NoNewPrivs|Seccomp):' $p/status 2>/dev/null | tr -s '\\t\\n' ' '; echo
    done`
    const lines = (await inside(script)).split('\n').filter(line => line.includes('Uid'))
    assert.ok(lines.length > 5)
    for (const line of lines) {
      // A child of Chromium's in its own user namespace has capabilities there, and none out here.
      assert.match(line, /Uid: 1000 1000 1000 1000/)
      assert.match(line, /NoNewPrivs: 1/)
      assert.match(line, /Seccomp: 2/)
    }
    assert.match(lines[0] ?? '', /CapPrm: 0+ CapEff: 0+ CapBnd: 0+ /)
  })

  test('a program with the setuid bit gains nothing', async () => {
    const found = (await inside('find / -xdev -perm -4000 -type f 2>/dev/null')).split('\n').filter(Boolean)
    assert.ok(found.includes('/usr/bin/su'))
    // What they run as is seen while they wait for their input.
    const users = await inside(`for f in ${found.join(' ')}; do (sleep 2 | $f >/dev/null 2>&1) & done; sleep 1
      for p in /proc/[0-9]*; do case " ${found.join(' ')} " in *" $(readlink $p/exe) "*) grep ^Uid: $p/status;; esac; done; true`)
    assert.match(users, /Uid:/)
    assert.doesNotMatch(users, /\b0\b/)
    assert.doesNotMatch(await inside('su root -c id </dev/null 2>&1'), /uid=0/)
  })

  test('nothing outside of its volume and its scratch space can be written', async () => {
    const places = [
      '/x',
      '/etc/x',
      '/usr/bin/x',
      '/opt/porthole/main.ts',
      '/opt/porthole/compile-cache/x',
      '/sys/x',
      '/dev/x',
    ]
    for (const place of places)
      assert.match(await inside(`echo x > ${place}`), /Read-only|denied|Directory nonexistent/, place)
    const knobs = ['kernel/hostname', 'kernel/core_pattern', 'net/ipv4/ip_forward', 'vm/overcommit_memory']
    for (const knob of [...knobs.map(one => `/proc/sys/${one}`), '/proc/sysrq-trigger', '/proc/1/oom_score_adj']) {
      assert.match(await inside(`echo 1 > ${knob}`), /Read-only|denied|nonexistent/, knob)
    }
    assert.equal(await inside('for f in /tmp /data /dev/shm; do echo x > $f/x && rm $f/x; done'), '')
  })

  test('kernel and host are out of sight', async () => {
    assert.equal(await inside('ls /var/run/docker.sock /run/docker.sock /run/containerd 2>/dev/null'), '')
    assert.equal(await inside('head -qc 1 /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug 2>/dev/null'), '')
    assert.equal(await inside('ls /dev/mem /dev/kmsg /dev/sda /dev/vda /dev/kvm 2>/dev/null'), '')
    assert.doesNotMatch(
      await inside('cat /proc/self/mountinfo'),
      / \/(var\/lib\/docker\/overlay2|home|root)[^ ]* \/(?!data)/,
    )
  })

  test('mounts, namespaces and raw sockets are refused', async () => {
    const [EPERM, newUser, newMount, newNet] = ['errno 1', 0x10000000, 0x00020000, 0x40000000]
    const mount = 'syscall(165, my $from = "none", my $to = "/tmp", my $type = "tmpfs", 0, 0)'
    assert.equal(await errno(mount), EPERM, 'mount')
    assert.equal(await errno(`syscall(272, ${newMount})`), EPERM, 'unshare of mounts')
    assert.equal(await errno(`syscall(272, ${newNet})`), EPERM, 'unshare of the network')
    assert.equal(await errno('syscall(41, 2, 3, 1)'), EPERM, 'raw socket')
    assert.equal(await errno('syscall(41, 17, 3, 768)'), EPERM, 'packet socket')
    // Chromium's sandbox needs user namespaces; with the capabilities of one there is still no mount.
    const inNamespace = (call: string) =>
      errno(`do { syscall(272, ${newUser | newMount}) == 0 or die 'no user namespace'; ${call} }`)
    assert.equal(await inNamespace(mount), EPERM, 'mount in a user namespace')
    assert.equal(
      await inNamespace('syscall(155, my $new = "/tmp", my $old = "/tmp")'),
      EPERM,
      'pivot_root in a user namespace',
    )
  })

  test('system calls that attacks on the kernel begin with are refused', async () => {
    const calls = {
      bpf: 321,
      keyctl: 250,
      add_key: 248,
      userfaultfd: 323,
      perf_event_open: 298,
      init_module: 175,
      kexec_load: 246,
      open_by_handle_at: 304,
      io_uring_setup: 425,
    }
    for (const [call, number] of Object.entries(calls)) {
      assert.match(await errno(`syscall(${number}, 0, 0, 0, 0, 0)`), /^errno (1|38)$/, call)
    }
  })

  test('the process that has the key can be neither read nor traced', async () => {
    const key = keyOf((await engine.inspect(name)) ?? assert.fail('gone')) ?? assert.fail('no key')
    const holders = (
      await inside(
        `for p in /proc/[0-9]*; do case $(cat $p/comm) in tini|node|MainThread) echo \${p#/proc/};; esac; done`,
      )
    ).split('\n')
    assert.ok(holders.length >= 2)
    for (const pid of holders) {
      assert.equal(await errno(`syscall(101, 16, ${pid}, 0, 0)`), 'errno 1', `ptrace of ${pid}`)
      assert.match(
        await inside(`cat /proc/${pid}/environ /proc/${pid}/maps; head -c 1 /proc/${pid}/mem; ls /proc/${pid}/fd`),
        /^(.*denied\s*)+$/,
      )
    }
    // A shell that has not got it from docker exec looks at everything that there is.
    const search = `for f in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do case $f in /proc/self*|/proc/$$/*) ;; *) tr '\\0' '\\n' < $f 2>/dev/null;; esac; done
      find /data /tmp /run /dev/shm -type f -exec cat {} + 2>/dev/null`
    const { output } = await runIn(docker, name, ['env', '-u', 'PORTHOLE_KEY', 'sh', '-c', search])
    assert.ok(output.includes('--user-data-dir'))
    assert.ok(!output.includes(key))
  })

  test('its neighbour is not reached', async () => {
    const other = (await engine.inspect(neighbour))?.address ?? assert.fail('no address')
    for (const port of [8787, 9222, 6080]) {
      const script = `require('net').connect({ host: '${other}', port: ${port}, timeout: 1500 }).on('connect', () => { console.log('open'); process.exit() })
        .on('timeout', () => process.exit()).on('error', () => process.exit())`
      assert.equal((await runIn(docker, name, ['/usr/local/bin/node', '-e', script])).output, '', String(port))
    }
  })

  test('a fork bomb ends at the limit of processes, and the runtime lives on', async () => {
    const before = await startedAt(name)
    const bomb =
      await perl(`my @kids; while (@kids < 5000) { my $p = fork; last unless defined $p; if (!$p) { sleep 30; exit } push @kids, $p }
      print @kids . ' ' . ($! + 0); kill 'KILL', @kids; waitpid $_, 0 for @kids`)
    const [count, error] = bomb.split(' ').map(Number)
    assert.ok(count !== undefined && count > 10 && count < pids, bomb)
    assert.equal(error, 11)
    await eventuallyHealthy(name)
    assert.equal(await startedAt(name), before)
    assert.ok(await isHealthy(neighbour))
  })

  test('what takes more memory than there is for it is killed, and nobody else', async () => {
    const before = [await startedAt(name), await startedAt(neighbour)]
    const hog = await runIn(docker, name, [
      '/usr/bin/perl',
      '-e',
      `my @x; push @x, 'a' x 2**24 for 1 .. ${(2 * memoryBytes) / 2 ** 24}; print 'had it all'`,
    ])
    assert.equal(hog.code, 137)
    assert.doesNotMatch(hog.output, /had it all/)
    await eventuallyHealthy(name)
    assert.ok(await isHealthy(neighbour))
    assert.deepEqual([await startedAt(name), await startedAt(neighbour)], before)
  })

  test('scratch space ends at its size', async () => {
    assert.match(await inside('head -c 200000000 /dev/zero > /tmp/full; rm -f /tmp/full'), /No space left/)
    assert.ok(await isHealthy(name))
  })
})
