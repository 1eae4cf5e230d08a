/** Why the image could not be made: says what failed and what to do. */
export class ImageError extends Error {
  override name = 'ImageError'
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).trim()

const advice: readonly (readonly [RegExp, string])[] = [
  [
    /no space left on device|disk quota/i,
    'The disk of the Docker engine is full. Free about 3 GB (docker system df shows what uses it), then try again.',
  ],
  [
    /ECONNREFUSED|ENOENT.*\.sock|ECONNRESET|socket hang up|EPIPE/i,
    'The Docker engine does not answer. Check that it runs and that DOCKER_HOST is right, then try again.',
  ],
  [/EACCES.*\.sock/i, 'This user may not use the Docker socket. Join the group docker or run as root.'],
  [
    /Temporary failure resolving|Failed to fetch|Unable to connect|Could not (resolve|connect)|Unable to locate package/i,
    "Debian packages could not be fetched. Check that containers reach Debian's package archive, then try again.",
  ],
]

/** An `ImageError` for whatever went wrong while `doing` something, with advice where the reason is known. */
export const imageError = (doing: string, error: unknown): ImageError => {
  if (error instanceof ImageError) return error
  const reason = reasonOf(error)
  const known = advice.find(([pattern]) => pattern.test(reason))?.[1]
  return new ImageError(`${doing} failed: ${reason.slice(-1000)}${known === undefined ? '' : `\n${known}`}`, {
    cause: error,
  })
}
