import type Docker from 'dockerode'
import type { Prefixes } from './names.ts'

/** Where an agent is to run, and for which engine. */
export type Place = {
  /** What the host is called. */
  name: string
  /** Set for one of several. */
  number?: number
  docker: Docker
  dockerHost: string
  image: string
  prefixes: Prefixes
  /** Where the host's key is kept. */
  dataDir: string
  /** The address it listens on; the loopback's unless told. */
  listenHost?: string
  netns?: string
  within?: readonly string[]
  /** Further settings of the agent, by their names in the environment. */
  settings?: Readonly<Record<string, string>>
}
