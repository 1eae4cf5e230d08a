import { randomBytes } from 'node:crypto'
import { defaults as someDefaults } from './orders.ts'

/** A host of this run's own on a real engine: its names meet nobody else's there, and what carries them is the run's to remove. */
export const ownHost = (image: string) => {
  const run = randomBytes(4).toString('hex')
  const defaults = {
    ...someDefaults,
    image,
    network: `porthole-test-${run}`,
    containerPrefix: `porthole-test-${run}-c-`,
    volumePrefix: `porthole-test-${run}-v-`,
  }
  return { run, hostId: `host_test_${run}`, defaults }
}
