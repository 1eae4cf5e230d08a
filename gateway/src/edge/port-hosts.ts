import { portName } from '@porthole/protocol'
import { isOwnerHash, type OwnerHash } from '../identity/owner.ts'

/** A named port of an owner's runtime. */
export type NamedPort = { ownerHash: OwnerHash; name: string }

/** Host names that are a port's own: `<name>-<ownerHash>.<domain>`. */
export type PortHosts = {
  /** Where a port is, by its own name or, without a domain, on the gateway's origin. Ends with a slash. */
  urlOf(port: NamedPort): string
  /** A port's own origin; undefined: there is no domain. */
  originOf(port: NamedPort): string | undefined
  /**
   * Whose a request is, by its Host header as it came. Undefined: the gateway's. `'nobody'`: the name is within the domain,
   * and nobody's.
   */
  read(host: string | undefined): NamedPort | 'nobody' | undefined
}

/** Names that are doors of their own, with rules of their own: no other way leads to them. */
export const doorNames: ReadonlySet<string> = new Set(['view', 'cdp', 'rpc'])

/**
 * Whether browsers say of each request for a port which page it comes from (Fetch Metadata, section 2: to https and to
 * localhost alone). Without that any page can have a person's browser GET from a port that this person may use.
 */
export const tellsWhoAsks = (base: string, domain: string): boolean =>
  base.startsWith('https:') || /^(.+\.)?localhost$/.test(domain)

/**
 * @param base the public URL; ports have its scheme and its port
 * @param domain below which every name leads here; undefined: there is none
 */
export const createPortHosts = (base: string, domain: string | undefined): PortHosts => {
  const { protocol, port, host: baseHost } = new URL(base)
  const end = domain === undefined ? '' : `.${domain}${port && `:${port}`}`
  /** With any port: what is within the domain is never taken for the gateway. */
  const within = (host: string) => host.replace(/:\d*$/, '').endsWith(`.${domain}`)
  const originOf = ({ ownerHash, name }: NamedPort) =>
    domain === undefined ? undefined : `${protocol}//${name}-${ownerHash}${end}`

  return {
    originOf,
    urlOf: named => `${originOf(named) ?? `${base}/port/${named.ownerHash}/${named.name}`}/`,
    read: host => {
      if (domain === undefined) return undefined
      // Names are the same in any case (RFC 9110 section 4.2.3), and one with a dot at its end is the same name.
      const name = host?.toLowerCase().replace(/\.(?=:|$)/, '')
      if (name === undefined || name === baseHost || !within(name)) return undefined
      if (!name.endsWith(end)) return 'nobody'
      return parseLabel(name.slice(0, -end.length)) ?? 'nobody'
    },
  }
}

/** `<name>-<ownerHash>`, and nothing else. */
const parseLabel = (label: string): NamedPort | undefined => {
  const [, name = '', ownerHash = ''] = /^(.+)-([^-]+)$/.exec(label) ?? []
  return portName.safeParse(name).success && isOwnerHash(ownerHash) ? { name, ownerHash } : undefined
}

/** `/<name>/…`, which is what is left of a path behind `/port/<ownerHash>`. */
export const parsePortPath = (rest: string): { name: string; rest: string } | undefined => {
  const [, name = '', inner = ''] = /^\/([^/?]*)(.*)$/s.exec(rest) ?? []
  return portName.safeParse(name).success ? { name, rest: inner } : undefined
}
