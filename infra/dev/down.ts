import { readUpConfig, readVerbose } from './config.ts'
import { tell } from './explained.ts'
import { endLeftovers } from './leftovers.ts'
import { downUsage } from './options.ts'
import { endProcess, type Step } from './process-identity.ts'
import { createProgress, inStep, screenOf } from './progress.ts'
import { openState, type State } from './state.ts'

/** The holder ends everything itself, and that has its own deadlines; then it is told to hurry, then killed. */
const patient: readonly Step[] = [
  ['SIGTERM', 90_000],
  ['SIGTERM', 15_000],
  ['SIGKILL', 5_000],
]

const screen = screenOf(process.stdout)
const progress = createProgress(screen)
const words = process.argv.slice(2)
if (words.length > 0) {
  const help = words.length === 1 && (words[0] === '--help' || words[0] === '-h')
  ;(help ? process.stdout : process.stderr).write(`${help ? '' : `down takes no ${words[0]}.\n\n`}${downUsage}\n`)
  process.exitCode = help ? 0 : 2
} else {
  try {
    await down(openState(readUpConfig().dir))
    process.exitCode = 0
  } catch (error) {
    process.stderr.write(`\n${tell(error, readVerbose())}\n`)
    process.exitCode = 1
  }
}
process.exit()

async function down(state: State) {
  const holder = state.holder()
  if (holder) {
    await inStep(progress, 'Stopping', async step => {
      step.update('browsers, agent, gateway, Postgres')
      await endProcess(holder, patient)
    })
  }
  // What a killed holder has left, now or earlier.
  const leftovers = await endLeftovers(state)
  if (holder) screen.write('Everything is stopped.\n')
  else screen.write(leftovers ? 'Ended what an earlier run had left behind.\n' : 'Nothing is running.\n')
}
