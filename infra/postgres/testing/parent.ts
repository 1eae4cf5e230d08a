// A process that starts a Postgres and can be killed, for tests of what is left behind then.
import { startPostgres } from '../embedded.ts'

const { url, pid } = await startPostgres({ dir: process.argv[2] ?? '', fsync: false })
process.send?.({ url, pid })
setInterval(() => {}, 60_000)
