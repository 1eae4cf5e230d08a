/** Faults that end no runtime, and no view but those that go through what was struck. */
export const harmless: ReadonlySet<string> = new Set([
  'kill a gateway',
  'kill an agent',
  'kill Postgres',
  'reset of all connections',
])
/** Those that close no view either. */
export const unseen: ReadonlySet<string> = new Set(['kill Postgres'])
