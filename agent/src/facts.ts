import type { ContainerState, RuntimeFacts } from '@porthole/protocol'
import type { ContainerStatus, ContainerSummary } from './engine/engine.ts'
import { readLabels } from './labels.ts'

const states: Readonly<Record<ContainerStatus, ContainerState>> = {
  created: 'starting',
  restarting: 'starting',
  running: 'running',
  paused: 'paused',
  removing: 'exited',
  exited: 'exited',
  dead: 'exited',
}

/** What the gateway is told of a container; undefined when it is none of ours. */
export const factsOf = (summary: ContainerSummary): RuntimeFacts | undefined => {
  const recorded = readLabels(summary.labels, summary.name)
  if (!recorded) return undefined
  const { id, generation, ownerHash } = recorded
  const { status, exitCode } = summary
  return { id, generation, ownerHash, state: states[status], ...(exitCode === undefined ? {} : { exitCode }) }
}
