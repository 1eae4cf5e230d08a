import { parseArgs } from 'node:util'

/** What the words after `npm run up --` ask for. */
export type UpRequest = { kind: 'up'; detach: boolean } | { kind: 'help' } | { kind: 'refused'; message: string }

export const upUsage = `Starts a whole Porthole on this machine: Postgres, a gateway, an agent, and a first browser.

  npm run up [-- options]
    --detach     return when it is ready; npm run down ends it
    --hosts N    number of Docker hosts (1 in this release)
    --help       this text

  PORT=4800 npm run up            another port than 4747
  DATABASE_URL=… npm run up       your own Postgres instead of the embedded one
  DOCKER_HOST=… npm run up        another Docker engine than the one found`

export const downUsage = `Stops what npm run up started here, with its browsers. Profiles and the database are kept.

  npm run down`

export function parseUp(argv: readonly string[]): UpRequest {
  const options = {
    detach: { type: 'boolean', short: 'd', default: false },
    hosts: { type: 'string', default: '1' },
    help: { type: 'boolean', short: 'h', default: false },
  } as const
  try {
    const { values } = parseArgs({ args: [...argv], options, strict: true, allowPositionals: false })
    if (values.help) return { kind: 'help' }
    if (!/^[1-9]\d{0,2}$/.test(values.hosts)) {
      return refused(`--hosts takes a number of hosts, 1 or more, not '${values.hosts}'.`)
    }
    if (values.hosts !== '1') {
      return {
        kind: 'refused',
        message: `--hosts ${values.hosts}: several hosts on one machine come with a later release. Run it without --hosts for one.`,
      }
    }
    return { kind: 'up', detach: values.detach }
  } catch (error) {
    return refused(error instanceof Error ? error.message : String(error))
  }
}

const refused = (message: string): UpRequest => ({ kind: 'refused', message: `${message}\n\n${upUsage}` })

/** The port that the environment asks for; a message when it is none. 0 means any free one. */
export function parsePort(value: string | undefined, fallback = 4747): number | { refused: string } {
  if (!value?.trim()) return fallback
  const port = Number(value)
  if (/^\d{1,5}$/.test(value.trim()) && port <= 65_535) return port
  return { refused: `PORT must be a number from 0 to 65535, not '${value}'.` }
}
