// Starts, kills, restarts and stops a Docker daemon, and tells what it saw. For a network namespace of its own: a second
// daemon would change the bridge and the firewall of the first.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { endProcess, identify } from '../../dev/process-identity.ts'
import { findDaemon, startDaemon } from '../daemon.ts'

const [dir = '', program = '', path = ''] = process.argv.slice(2)
const [pidFile, execRoot, socket] = [join(dir, 'docker.pid'), join(dir, 'exec'), join(dir, 'docker.sock')]
mkdirSync(execRoot, { recursive: true })
const args = ['--data-root', join(dir, 'data'), '--exec-root', execRoot, '--bridge=none', '--iptables=false']
const start = () =>
  startDaemon({ program, path, socket, pidFile, execRoot, logFile: join(dir, 'dockerd.log'), mark: 'mine', args })

// A pid file of another program, as a reboot leaves it.
writeFileSync(pidFile, String(process.pid))
const first = await start()
const seen = { mine: findDaemon(pidFile, 'mine')?.pid === first.pid, other: findDaemon(pidFile, 'other') === undefined }
const identity = identify(first.pid)
if (identity) await endProcess(identity, [['SIGKILL', 5_000]])
const killed = findDaemon(pidFile, 'mine') === undefined
const second = await start()
await second.stop()
process.send?.({ ...seen, killed, restarted: second.pid !== first.pid, stopped: identify(second.pid) === undefined })
process.disconnect?.()
