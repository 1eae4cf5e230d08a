/** A host name that nothing has (RFC 6761 section 6.4): what a container's own addresses are resolved against. */
const insideHost = 'container.invalid'

/**
 * Where a container's paths are on the public side.
 *
 * @param port a door of the edge: `/<port>/<ownerHash>` holds all of it
 * @param rest the request's path and query inside the container
 */
export const placeOf = (base: string, port: string, ownerHash: string, rest: string) => {
  const { protocol: publicProtocol, host: publicHost, pathname: publicPath } = new URL(base)
  const prefix = `${publicPath.replace(/\/$/, '')}/${port}/${ownerHash}`
  return {
    /**
     * An address that a container answers with, as the client may follow it; undefined: nowhere. One without a host, or
     * with ours, stays in the container's own place: followed as it came, it would lead a client with its token into our
     * API. One that leads elsewhere is written out in full, so that every client reads the same host in it.
     */
    toPublic: (address: string): string | undefined => {
      const from = `${publicProtocol}//${insideHost}${rest.startsWith('/') ? rest : '/'}`
      if (!URL.canParse(address, from)) return undefined
      const { protocol, host, pathname, search, hash, href } = new URL(address, from)
      if (protocol !== 'http:' && protocol !== 'https:') return undefined
      // With a dot at its end a name is the same name.
      const named = host.replace(/\.(?=:|$)/, '')
      if (named !== insideHost && named !== publicHost) return href
      return `${prefix}${pathname}${search}${hash}`
    },
  }
}
