import type { Touched } from './fault.ts'
import type { Struck } from './history.ts'

/**
 * Faults that may end a runtime. All others leave every container as it is: those that runs are cut off from, those that
 * are slow, and those whose clock is wrong, too.
 */
const endsRuntimes: ReadonlySet<string> = new Set(['kill a dockerd', 'kill a container', 'full disk'])

/** Faults that close no view. The others close those alone that go through what they have touched. */
const closesNoView: ReadonlySet<string> = new Set([
  'kill Postgres',
  'kill a Chromium',
  "an agent's clock an hour off",
  "a gateway's clock an hour off",
])

/** Whether a fault has touched anything of a place. One that is being struck may touch anything. */
const reaches = ({ touched }: Pick<Struck, 'touched'>, place: Touched): boolean =>
  touched === undefined ||
  (touched.host !== undefined && touched.host === place.host) ||
  (touched.gateway !== undefined && touched.gateway === place.gateway) ||
  (touched.container !== undefined && touched.container === place.container)

type Fault = Pick<Struck, 'fault' | 'touched'>

/** Whether a fault may have ended what runs at a place. */
export const mayEnd = (fault: Fault, place: Touched): boolean => endsRuntimes.has(fault.fault) && reaches(fault, place)

/** Whether a fault may have closed a view that leads there. */
export const mayClose = (fault: Fault, place: Touched): boolean =>
  !closesNoView.has(fault.fault) && reaches(fault, place)

/** Whether a fault may keep a host from doing what it is told. */
export const mayHold = (fault: Fault, host: string): boolean => reaches(fault, { host })
