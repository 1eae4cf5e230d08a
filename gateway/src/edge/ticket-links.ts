import type { RuntimeRow } from '@porthole/db'
import type { Access } from '@porthole/protocol'
import type { House } from '../house.ts'
import type { OwnerHash } from '../identity/owner.ts'
import { Problem } from '../problem.ts'
import { portTicketKey } from './port-access.ts'
import { doorNames } from './port-hosts.ts'
import { portTicketUrl } from './port-routes.ts'
import { ticketUrl, viewTicketKey } from './tickets.ts'

/** A link for a person's browser, and under what its ticket is kept. */
export type TicketLink = { url: string; key: string }

export const viewTicket = ({ base }: Pick<House, 'base'>, { ownerHash }: RuntimeRow, token: string): TicketLink => ({
  url: ticketUrl(base, ownerHash, token),
  key: viewTicketKey(token),
})

const wrong = (pointer: string, detail: string) =>
  new Problem('invalid-request', { detail, faults: [{ pointer, detail }] })

/** @throws Problem `invalid-request` where a person can not be let in by a link */
export const portTicketOf = (
  { specs, portHosts }: Pick<House, 'specs' | 'portHosts'>,
  { spec, ownerHash }: RuntimeRow,
  name: string,
  access: Access,
  token: string,
): TicketLink => {
  const names = Object.keys(specs.portsOf(spec) ?? {}).filter(known => !doorNames.has(known))
  if (!names.includes(name))
    throw wrong('#/port', `the spec ${spec} has no such port${names.length > 0 ? `; it has ${names.join(', ')}` : ''}`)
  if (access !== 'control') throw wrong('#/access', 'a port can not be watched only')
  const port = { name, ownerHash: ownerHash as OwnerHash }
  const url = portTicketUrl(portHosts, port, token)
  if (url === undefined)
    throw wrong('#/port', 'people need a host name of its own for a port: an operator sets PORTHOLE_PORT_DOMAIN')
  return { url, key: portTicketKey(token, port) }
}
