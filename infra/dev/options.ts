import { parseArgs } from 'node:util'

/** How large a stack is. */
export type Shape = {
  /** 1: this machine's own Docker engine. More: as many engines, each in a network namespace of its own. */
  hosts: number
  gateways: number
}

/** What the words after `npm run up --` ask for. */
export type UpRequest =
  | ({ kind: 'up'; detach: boolean } & Shape)
  | { kind: 'help' }
  | { kind: 'refused'; message: string }

export const upUsage = `Starts a whole Porthole on this machine: Postgres, a gateway, an agent, and a first browser.

  npm run up [-- options]
    --detach     return when it is ready; npm run down ends it
    --hosts N    N Docker hosts on this machine, each with an engine of its own (Linux, as root)
    --gateways N N gateways on one database, on ports next to each other
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
    gateways: { type: 'string', default: '1' },
    help: { type: 'boolean', short: 'h', default: false },
  } as const
  try {
    const { values } = parseArgs({ args: [...argv], options, strict: true, allowPositionals: false })
    if (values.help) return { kind: 'help' }
    for (const name of ['hosts', 'gateways'] as const) {
      if (!/^[1-9]\d?$/.test(values[name])) {
        return refused(`--${name} takes a number of ${name} from 1 to 99, not '${values[name]}'.`)
      }
    }
    return { kind: 'up', detach: values.detach, hosts: Number(values.hosts), gateways: Number(values.gateways) }
  } catch (error) {
    return refused(error instanceof Error ? error.message : String(error))
  }
}

/** The words that ask for a stack of this size. */
export const wordsFor = ({ hosts, gateways }: Shape): string[] => [`--hosts=${hosts}`, `--gateways=${gateways}`]

const refused = (message: string): UpRequest => ({ kind: 'refused', message: `${message}\n\n${upUsage}` })

/** The port that the environment asks for; a message when it is none. 0 means any free one. */
export function parsePort(value: string | undefined, fallback = 4747): number | { refused: string } {
  if (!value?.trim()) return fallback
  const port = Number(value)
  if (/^\d{1,5}$/.test(value.trim()) && port <= 65_535) return port
  return { refused: `PORT must be a number from 0 to 65535, not '${value}'.` }
}
