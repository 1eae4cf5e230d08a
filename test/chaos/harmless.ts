/**
 * Faults that may end a runtime. All others leave every container as it is: those that runs are cut off from, those that
 * are slow, and those whose clock is wrong, too.
 */
export const endsRuntimes: ReadonlySet<string> = new Set(['kill a dockerd', 'kill a container', 'full disk'])

/** Faults that close no view. */
export const closesNoView: ReadonlySet<string> = new Set([
  'kill Postgres',
  'kill a Chromium',
  "an agent's clock an hour off",
  "a gateway's clock an hour off",
])
