import { banner } from './banner.ts'
import { readUpConfig, readVerbose, type UpConfig } from './config.ts'
import { startDetached } from './detach.ts'
import { tell } from './explained.ts'
import { hold } from './hold.ts'
import { parseUp, type Shape, upUsage } from './options.ts'
import { awaitOther } from './other.ts'
import { createProgress, screenOf } from './progress.ts'
import { stopSignals } from './signals.ts'
import { type DevInfo, openState, type State } from './state.ts'

const screen = screenOf(process.stdout)
const errors = screenOf(process.stderr)
const progress = createProgress(screen)
const request = parseUp(process.argv.slice(2))
if (request.kind === 'help') {
  screen.write(`${upUsage}\n`)
} else if (request.kind === 'refused') {
  errors.write(`${request.message}\n`)
  process.exitCode = 2
} else {
  try {
    const config = readUpConfig()
    await up(config, openState(config.dir), request, request.detach)
    process.exitCode = 0
  } catch (error) {
    errors.write(`\n${tell(error, readVerbose())}\n`)
    process.exitCode = 1
  }
}
// Idle connections of the Docker client would keep a finished command for a while.
process.exit()

async function up(config: UpConfig, state: State, shape: Shape, detach: boolean): Promise<void> {
  const other = await awaitOther(state, progress)
  if (other) return show(other, alreadyRunning(other, shape))
  if (detach) {
    const info = await startDetached(config, shape, progress)
    return info
      ? show(info, 'It runs in the background; npm run down stops it.')
      : await up(config, state, shape, detach)
  }
  if (!state.take()) return await up(config, state, shape, detach) // another start was quicker by a moment
  const { stop, force } = stopSignals(progress.note)
  const onReady = (info: DevInfo) => show(info, 'Ctrl-C stops everything.')
  await hold({ config, shape, state, progress, stop, force, onReady })
}

function alreadyRunning(info: DevInfo, { hosts, gateways }: Shape): string {
  const running = { hosts: info.hosts.length, gateways: info.gatewayPids.length }
  if (running.hosts === hosts && running.gateways === gateways) return 'It was running already; npm run down stops it.'
  return `It was running already, with --hosts ${running.hosts} --gateways ${running.gateways}; npm run down stops it.`
}

function show(info: DevInfo, last: string) {
  screen.write(banner(info, last, screen.live))
}
