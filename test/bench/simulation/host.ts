import { createHash, sign } from 'node:crypto'
import { heartbeatAudience, heartbeatPath, maxLifetimeSeconds, type RuntimeFacts } from '@porthole/protocol'
import { hostIdOf, hostKeyOf, hostOffer } from './fleet.ts'
import { imagesOfHosts, labelsOfHosts } from './rows.ts'

/** Milliseconds after which everything is told anew, as the agent does it. */
const fullMs = 30_000

/** Who has which runtimes, and says so: an agent without Docker. */
export type SimulatedHost = {
  id: string
  runtimes(): RuntimeFacts[]
  put(facts: RuntimeFacts): void
  remove(id: string): void
  /** The next heartbeat, as HTTP/1.1. @param now milliseconds since the epoch */
  heartbeat(now: number): string
  /** What was said last has arrived. */
  accepted(now: number): void
}

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
const head = encode({ alg: 'EdDSA' })
/** What all hosts say of themselves, but for their load and their disk. */
const said = JSON.stringify({
  capacity: hostOffer,
  engineVersion: '27.0.1',
  images: imagesOfHosts,
  labels: labelsOfHosts,
}).slice(1)

/**
 * What does not change is made once: 10,000 hosts share what one process can do.
 *
 * @param tokenMs milliseconds for which a token is used again; 0: each heartbeat has its own
 */
export const simulateHost = (n: number, seeded: RuntimeFacts[], { tokenMs }: { tokenMs: number }): SimulatedHost => {
  const id = hostIdOf(n)
  const key = hostKeyOf(n)
  const byId = new Map(seeded.map(facts => [facts.id, facts]))
  let token: { text: string; at: number } | undefined
  let list: { text: string; revision: string } | undefined
  let known: { revision: string; at: number } | undefined
  let sent: string | undefined

  const tokenAt = (now: number): string => {
    if (token && now - token.at < tokenMs) return token.text
    const iat = Math.floor(now / 1000)
    const signed = `${head}.${encode({ iss: id, aud: heartbeatAudience, iat, exp: iat + maxLifetimeSeconds })}`
    token = { text: `${signed}.${sign(null, Buffer.from(signed), key).toString('base64url')}`, at: now }
    return token.text
  }
  const listed = () => {
    if (list) return list
    const text = JSON.stringify([...byId.values()])
    list = { text, revision: createHash('sha256').update(text).digest('base64url') }
    return list
  }

  return {
    id,
    runtimes: () => [...byId.values()],
    put: facts => {
      byId.set(facts.id, facts)
      list = undefined
    },
    remove: runtime => {
      if (byId.delete(runtime)) list = undefined
    },
    heartbeat: now => {
      const { text, revision } = listed()
      const isKnown = known?.revision === revision && now - known.at < fullMs
      sent = isKnown ? undefined : revision
      const load = Math.round(Math.random() * 400) / 100
      const disk = 100 * 2 ** 30 + Math.floor(Math.random() * 2 ** 30)
      // All of it ASCII: a character is a byte.
      const body = `{"load":${load},"diskFreeBytes":${disk},"revision":"${revision}",${isKnown ? '' : `"runtimes":${text},`}${said}`
      return `POST ${heartbeatPath(id)} HTTP/1.1\r\nhost: porthole\r\ncontent-type: application/json\r\nauthorization: Bearer ${tokenAt(now)}\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    },
    accepted: now => {
      if (sent !== undefined) known = { revision: sent, at: now }
      sent = undefined
    },
  }
}
