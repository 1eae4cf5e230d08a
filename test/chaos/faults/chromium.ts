import type Docker from 'dockerode'
import { eventually } from '../../kit/eventually.ts'
import type { Fault } from '../fault.ts'
import { choose } from './choose.ts'
import { struck } from './mending.ts'
import { runningContainers } from './running.ts'

/** The container starts it again by itself. */
export const killChromium: Fault = {
  name: 'kill a Chromium',
  async strike(lab, random) {
    const running = await runningContainers(lab)
    if (running.length === 0) return struck('no Chromium: no container runs', {}, async () => {})
    const { name, host, container } = choose(running, random).thing
    const what = `Chromium in ${name} on ${host}`
    const pid = await chromiumIn(container)
    if (pid === undefined) return struck(`no ${what}: it is not up`, {}, async () => {})
    process.kill(pid, 'SIGKILL')
    return struck(what, { container: name }, () => eventually(() => isBack(container, pid), 30_000))
  },
}

/** The machine's number of the browser's first process: the others say of which type they are. */
export async function chromiumIn(container: Docker.Container): Promise<number | undefined> {
  const { Processes } = (await container.top({ ps_args: '-eo pid,args' })) as { Processes: string[][] }
  const first = Processes.find(
    ([, command = '']) => command.includes('--remote-debugging-port') && !command.includes('--type='),
  )
  return first && Number(first[0])
}

async function isBack(container: Docker.Container, killed: number) {
  const isRunning = await container.inspect().then(
    ({ State }) => State.Running && !State.Paused,
    () => false,
  )
  // Stopped or deleted meanwhile: it is not to come back.
  if (!isRunning) return
  const pid = await chromiumIn(container)
  if (pid === undefined || pid === killed) throw new Error('Chromium was not started again')
}
