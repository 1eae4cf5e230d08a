import type { Recipe, StartCommand } from '@porthole/protocol'
import { pino } from 'pino'
import type { ContainerDefaults } from '../config.ts'

/** What tests start, unless they say otherwise. */
export const image = 'browser:1'
export const hostId = 'host_a'
export const ownerHash = '2bd806c97f0e00af'
export const runtime = 'rt_01K0000000000000000000000A'
export const laterRuntime = 'rt_01K0000000000000000000000B'
export const silent = pino({ level: 'silent' })

export const defaults: ContainerDefaults = {
  containerPrefix: 'browser-use-browser-',
  volumePrefix: 'browser-use-profile-',
  network: 'browser-net',
  image,
  enableUi: true,
  viewBase: '',
  modelEnv: {},
}

export const recipe = (more: Partial<Recipe> = {}): Recipe => ({
  name: 'browser',
  env: {},
  ports: { view: 6080, cdp: 9222, rpc: 8787 },
  health: { port: 'rpc', path: '/health' },
  volumePath: '/data',
  keyed: true,
  readOnlyRoot: true,
  tmpfs: { '/tmp': 2 ** 26 },
  shmBytes: 2 ** 31,
  memoryBytes: 2 ** 30,
  cpus: 1,
  pids: 512,
  seccomp: 'browser',
  egress: 'internet',
  stopSeconds: 1,
  ...more,
})

export const startCommand = (more: Partial<StartCommand> = {}): StartCommand => ({
  generation: 1,
  tenant: 'default',
  ownerHash,
  recipe: recipe(),
  env: {},
  deadlineMs: 2000,
  ...more,
})

/** A server on 8787 in the perl that every Debian image has: 200 with the right key, else 401. `before` runs first. */
export const perlServer = (before: string): string[] => [
  '/usr/bin/perl',
  '-MIO::Socket::INET',
  '-e',
  `$SIG{TERM} = sub { exit 0 }; ${before}
   my $s = IO::Socket::INET->new(Listen => 16, LocalPort => 8787, ReuseAddr => 1) or die;
   while (1) { my $c = $s->accept or next; my $head = ''; while (my $line = <$c>) { last if $line =~ /^\\r?$/; $head .= $line }
     my $ok = $head =~ /x-porthole-key: \\Q$ENV{PORTHOLE_KEY}\\E/i;
     print $c 'HTTP/1.1 ', ($ok ? '200 OK' : '401 No'), "\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok"; close $c }`,
]
