import type Docker from 'dockerode'

/**
 * Removes what still runs of these hosts' runtimes, whoever should have stopped it. Their profiles are volumes and stay.
 * Resolves to how many there were.
 */
export async function removeRunning(docker: Docker, hostIds: readonly string[]): Promise<number> {
  const found = await Promise.all(
    hostIds.map(id =>
      docker.listContainers({
        filters: { label: [`porthole.host=${id}`], status: ['running', 'paused', 'restarting', 'created'] },
      }),
    ),
  )
  const containers = found.flat()
  await Promise.all(containers.map(({ Id }) => docker.getContainer(Id).remove({ force: true }).catch(forgiveGone)))
  return containers.length
}

/** Gone already (404), or being removed by somebody else (409). */
function forgiveGone(error: unknown) {
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined
  if (status !== 404 && status !== 409) throw error
}

/** `work`, given up after `ms`: for cleaning up, where something that hangs must not keep the rest. */
export async function within<T>(ms: number, work: Promise<T>): Promise<T | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => resolve(undefined), ms)
  try {
    return await Promise.race([work, promise])
  } finally {
    clearTimeout(timer)
  }
}
