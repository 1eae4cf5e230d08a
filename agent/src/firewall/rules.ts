import { isIP } from 'node:net'
import type { Recipe } from '@porthole/protocol'

export type Family = 'ipv4' | 'ipv6'
export const families = ['ipv4', 'ipv6'] as const satisfies readonly Family[]

/** A network that is fenced, and what its containers may reach. `open` networks have no fence. */
export type Fence = {
  /** The engine's id of the network. */
  id: string
  /** The network's interface on this machine. */
  bridge: string
  egress: Exclude<Recipe['egress'], 'open'>
}

/** The chains of one fence in one table, each with its rules in order. */
export type Wanted = { bridge: string; forward: Chain; input: Chain }
export type Chain = { name: string; rules: readonly string[] }

/** How a packet is refused: with an answer, so that a page that tries fails at once instead of hanging, or without. */
export type Refusal = 'answer' | 'drop'

/**
 * IPv4 that is not the internet (RFC 6890): this network, private, shared (CGNAT), loopback, link-local with the
 * clouds' metadata, protocol assignments, benchmarks, multicast, reserved and broadcast.
 */
const closed4 = [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12'],
  ...['192.0.0.0/24', '192.168.0.0/16', '198.18.0.0/15', '224.0.0.0/4', '240.0.0.0/4'],
]
/** The internet of IPv6; unique local, link-local, mapped, NAT64, multicast and loopback addresses are outside of it. */
const global6 = '2000::/3'
/** Teredo and 6to4: inside it, but with any IPv4 address in them. */
const closed6 = ['2001::/32', '2002::/16']
/** Without its neighbour messages (RFC 4861) a container could not be reached over IPv6 at all. */
const neighbourTypes = [133, 134, 135, 136]

const chainPrefixes = { forward: 'PORTHOLE-FWD-', input: 'PORTHOLE-IN-' } as const
/** Whether a chain is one of an agent's, and of which network. */
export const networkOfChain = (chain: string): string | undefined =>
  /^PORTHOLE-(?:FWD|IN)-([0-9a-f]{12})$/.exec(chain)?.[1]

/**
 * The rules of a fence. Replies pass: only their direction, so that what a container itself opened before the rules
 * came is held to them too.
 * @param nameservers where the engine asks for names on the containers' behalf, from their own addresses
 */
export const rulesOf = (
  { id, bridge, egress }: Fence,
  family: Family,
  nameservers: readonly string[],
  refusal: Refusal,
): Wanted => {
  const replies = '-m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY -j RETURN'
  const names = egress === 'internet' ? nameservers.flatMap(address => nameRules(address, family)) : []
  const neighbours =
    family === 'ipv4' ? [] : neighbourTypes.map(type => `-p ipv6-icmp -m icmp6 --icmpv6-type ${type} -j RETURN`)
  return {
    bridge,
    forward: {
      name: chainPrefixes.forward + id.slice(0, 12),
      rules: [
        replies,
        ...names,
        // `-o`: neighbours on the bridge, whatever its addresses are.
        ...(egress === 'none' ? [''] : [...closedTo(family), `-o ${bridge}`]).flatMap(match =>
          refusals(match, family, refusal),
        ),
      ],
    },
    input: {
      name: chainPrefixes.input + id.slice(0, 12),
      rules: [replies, ...neighbours, ...names, ...refusals('', family, refusal)],
    },
  }
}

/** The kernel limits how many ICMP answers it sends; resets it does not. */
const answers = {
  ipv4: ['-p tcp -j REJECT --reject-with tcp-reset', '-j REJECT --reject-with icmp-admin-prohibited'],
  ipv6: ['-p tcp -j REJECT --reject-with tcp-reset', '-j REJECT --reject-with icmp6-adm-prohibited'],
} as const satisfies Record<Family, readonly string[]>

const refusals = (match: string, family: Family, refusal: Refusal): string[] =>
  (refusal === 'drop' ? ['-j DROP'] : answers[family]).map(rule => `${match} ${rule}`.trim())

const closedTo = (family: Family): string[] =>
  family === 'ipv4' ? closed4.map(range => `-d ${range}`) : [`! -d ${global6}`, ...closed6.map(range => `-d ${range}`)]

const nameRules = (address: string, family: Family): string[] => {
  const [version, bits] = family === 'ipv4' ? [4, 32] : [6, 128]
  if (isIP(address) !== version || address.includes('%')) return []
  return ['udp', 'tcp'].map(protocol => `-d ${address}/${bits} -p ${protocol} -m ${protocol} --dport 53 -j RETURN`)
}
