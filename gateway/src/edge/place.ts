/** A host name that nothing has (RFC 6761 section 6.4): what a container's own addresses are resolved against. */
const insideHost = 'container.invalid'

/**
 * Where a container's paths are on the public side.
 *
 * @param port a door of the edge: `/<port>/<ownerHash>` holds all of it
 * @param rest the request's path and query inside the container
 */
export const placeOf = (base: string, port: string, ownerHash: string, rest: string) => {
  const { host: publicHost, pathname: publicPath } = new URL(base)
  const prefix = `${publicPath.replace(/\/$/, '')}/${port}/${ownerHash}`
  return {
    /**
     * An address that a container answers with, as the client may follow it. One without a host, or with ours, stays in
     * the container's own place: followed as it came, it would lead a client with its token into our API.
     */
    toPublic: (address: string): string | undefined => {
      const from = `http://${insideHost}${rest.startsWith('/') ? rest : '/'}`
      if (!URL.canParse(address, from)) return undefined
      const { host, pathname, search, hash } = new URL(address, from)
      if (host !== insideHost && host !== publicHost) return address
      return `${prefix}${pathname}${search}${hash}`
    },
  }
}
