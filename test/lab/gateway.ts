import type { Child } from '../../infra/dev/child.ts'
import { freePort } from '../../infra/dev/ports.ts'
import { startGateway } from '../../infra/dev/stack.ts'
import type { LabClock } from './clock.ts'

export type LabGateway = {
  url: string
  /** The one that runs now: tests may kill it. */
  process(): Child
  /** Ends it, unless it has ended, and starts one in its place: same port. */
  restart(): Promise<Child>
  /** Its own, where the lab has such. */
  clock: LabClock | undefined
}

export type LabGatewayOptions = {
  root: string
  logDir: string
  env: NodeJS.ProcessEnv
  databaseUrl: string
  secret: string
  /** From 1. */
  number: number
  bridgeAddress: string
  settings?: Readonly<Record<string, string>> | undefined
  clock?: LabClock | undefined
  /** Ends the wait for the first start. */
  signal?: AbortSignal
}

/** A gateway that listens at the bridge alone. */
export async function startLabGateway({
  number,
  bridgeAddress,
  settings,
  clock,
  signal,
  ...rest
}: LabGatewayOptions): Promise<LabGateway> {
  const port = await freePort(bridgeAddress)
  const url = `http://${bridgeAddress}:${port}`
  const start = (signal?: AbortSignal) =>
    startGateway({
      ...rest,
      logName: `gateway-${number}`,
      publicUrl: url,
      port,
      signal,
      listenHost: bridgeAddress,
      settings: { ...settings, ...clock?.env },
    })
  let current = await start(signal)
  return {
    url,
    clock,
    process: () => current,
    async restart() {
      await current.stop()
      current = await start()
      return current
    },
  }
}
