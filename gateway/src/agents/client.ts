import type { Readable } from 'node:stream'
import {
  type AgentErrorCode,
  type AgentProblem,
  agentProblem,
  type DeleteCommand,
  type GenerationCommand,
  type RuntimeFacts,
  runtimeFacts,
  type StartCommand,
  type VolumeDigest,
  volumeDigest,
  volumePath,
} from '@porthole/protocol'
import { request } from 'undici'
import type { Issuer } from '../tokens/issuer.ts'
import type { AgentConnections, AgentPeer } from './connections.ts'

/** The agent answered, and the answer is no. */
export class AgentRefused extends Error {
  override name = 'AgentRefused'
  readonly problem: AgentProblem
  constructor(problem: AgentProblem) {
    super(problem.detail ?? problem.title)
    this.problem = problem
  }
  is(code: AgentErrorCode): boolean {
    return this.problem.code === code
  }
}

/** Nobody knows what the agent did: no answer, or none that makes sense. Never "absent". */
export class AgentUnreachable extends Error {
  override name = 'AgentUnreachable'
}

/** Where an agent is. */
export type AgentAddress = AgentPeer & { id: string }

/** Commands to one agent. Every one ends by its deadline, in AgentRefused, or in AgentUnreachable. */
export type AgentClient = {
  start(id: string, command: StartCommand): Promise<RuntimeFacts>
  /** Removes the container and keeps the volume. Fine when there is none. */
  stop(id: string, command: GenerationCommand): Promise<void>
  /** Freezes the container, or lets it go on. Idempotent. */
  pause(id: string, command: GenerationCommand): Promise<void>
  resume(id: string, command: GenerationCommand): Promise<void>
  remove(id: string, command: DeleteCommand): Promise<void>
  /** What the host sees, having asked the runtime for its health, until `signal`. Undefined: the host has no such runtime. */
  probe(id: string, signal?: AbortSignal): Promise<RuntimeFacts | undefined>
  volumes: VolumeClient
}

/** Whose volume. */
export type VolumeOwner = { tenant: string; ownerHash: string }

/** Profiles on the move: each works on a volume that no container has. */
export type VolumeClient = {
  /** Undefined: the host has no such volume. */
  digest(owner: VolumeOwner): Promise<VolumeDigest | undefined>
  /** The volume as a tar: to be read to its end, or destroyed. */
  read(owner: VolumeOwner, signal: AbortSignal): Promise<Readable>
  /** Puts a tar in the place of the volume. @returns the digest of what is there then */
  write(owner: VolumeOwner, archive: Readable, signal: AbortSignal): Promise<VolumeDigest>
  /** Fine when there is none. */
  remove(owner: VolumeOwner): Promise<void>
}

export type Agents = { at(host: AgentAddress): AgentClient }

/** Milliseconds on top of what the command itself may take. */
const graceMs = 5000
const shortMs = 10_000
const stopMs = 40_000
/** No answer of an agent to a command is larger. */
const maxAnswerBytes = 1024 * 1024
const commandLifetimeSeconds = 60
/** A volume of some gigabytes over a slow network. */
const copyMs = 30 * 60_000

const readAll = async (body: AsyncIterable<Buffer>): Promise<string> => {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > maxAnswerBytes) throw new AgentUnreachable('the agent answered more than 1 MiB')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

const problemFrom = (status: number, text: string): AgentProblem => {
  try {
    return agentProblem.parse(JSON.parse(text))
  } catch (cause) {
    throw new AgentUnreachable(`the agent answered ${status} without a reason`, { cause })
  }
}

type Sending = { timeoutMs: number; type?: string; body?: string | Readable | null; signal?: AbortSignal }

/** Talks to agents over HTTP, each request with a token that is good for that host alone. */
export const createAgents = (issuer: Pick<Issuer, 'sign'>, connections: AgentConnections): Agents => ({
  at: host => {
    const send = async (
      method: 'GET' | 'PUT' | 'POST' | 'DELETE',
      path: string,
      { body = null, timeoutMs, signal, type }: Sending,
    ) => {
      const token = await issuer.sign({ use: 'command' }, { audience: host.id, seconds: commandLifetimeSeconds })
      return request(`${host.url}${path}`, {
        dispatcher: method === 'PUT' || timeoutMs > stopMs ? connections.starts(host) : connections.others(host),
        method,
        headers: { authorization: `Bearer ${token}`, ...(type === undefined ? {} : { 'content-type': type }) },
        body,
        headersTimeout: timeoutMs,
        bodyTimeout: shortMs,
        signal: signal
          ? AbortSignal.any([signal, AbortSignal.timeout(timeoutMs + shortMs)])
          : AbortSignal.timeout(timeoutMs + shortMs),
      })
    }

    const sendOrFail = async (...what: Parameters<typeof send>) => {
      try {
        return await send(...what)
      } catch (cause) {
        throw new AgentUnreachable(`the agent of host ${host.id} does not answer`, { cause })
      }
    }

    /** @param expected the one status that means "done": a proxy's redirect or page is no answer of an agent's */
    const call = async (
      method: 'GET' | 'PUT' | 'POST' | 'DELETE',
      path: string,
      timeoutMs: number,
      expected: 200 | 204,
      body?: unknown,
      more: Partial<Sending> = {},
    ) => {
      let status: number
      let text: string
      try {
        const json = body === undefined ? {} : { type: 'application/json', body: JSON.stringify(body) }
        const answer = await sendOrFail(method, path, { timeoutMs, ...json, ...more })
        status = answer.statusCode
        text = await readAll(answer.body)
      } catch (cause) {
        if (cause instanceof AgentUnreachable) throw cause
        throw new AgentUnreachable(`the agent of host ${host.id} does not answer`, { cause })
      }
      if (status === expected) return text
      throw refusalOf(status, text)
    }

    const refusalOf = (status: number, text: string): AgentRefused | AgentUnreachable => {
      if (status < 400) return new AgentUnreachable(`whoever answers for host ${host.id} is not its agent (${status})`)
      const problem = problemFrom(status, text)
      // It did not believe us, or could not check: it has done nothing, and says nothing of what is there.
      const isUnheard = problem.code === 'keys-unavailable' || problem.code === 'unauthorized'
      const refusal = new AgentRefused(problem)
      return isUnheard ? new AgentUnreachable(problem.title, { cause: refusal }) : refusal
    }

    const factsFrom = (text: string): RuntimeFacts => {
      try {
        return runtimeFacts.parse(JSON.parse(text))
      } catch (cause) {
        throw new AgentUnreachable(`the agent of host ${host.id} answered with something else`, { cause })
      }
    }

    const digestFrom = (text: string): VolumeDigest => {
      try {
        return volumeDigest.parse(JSON.parse(text))
      } catch (cause) {
        throw new AgentUnreachable(`the agent of host ${host.id} answered with something else`, { cause })
      }
    }

    return {
      start: async (id, command) =>
        factsFrom(await call('PUT', `/v1/runtimes/${id}`, command.deadlineMs + graceMs, 200, command)),
      stop: async (id, command) => {
        try {
          factsFrom(await call('POST', `/v1/runtimes/${id}/stop`, stopMs, 200, command))
        } catch (error) {
          if (error instanceof AgentRefused && error.is('not-found')) return
          throw error
        }
      },
      pause: async (id, command) => {
        factsFrom(await call('POST', `/v1/runtimes/${id}/pause`, shortMs, 200, command))
      },
      resume: async (id, command) => {
        factsFrom(await call('POST', `/v1/runtimes/${id}/resume`, shortMs, 200, command))
      },
      remove: async (id, command) => {
        await call('DELETE', `/v1/runtimes/${id}`, stopMs, 204, command)
      },
      volumes: {
        digest: async ({ tenant, ownerHash }) => {
          try {
            return digestFrom(await call('GET', volumePath(ownerHash, tenant, '/digest'), copyMs, 200))
          } catch (error) {
            if (error instanceof AgentRefused && error.is('not-found')) return undefined
            throw error
          }
        },
        read: async ({ tenant, ownerHash }, signal) => {
          const answer = await sendOrFail('GET', volumePath(ownerHash, tenant), { timeoutMs: copyMs, signal })
          if (answer.statusCode === 200) return answer.body
          throw refusalOf(answer.statusCode, await readAll(answer.body))
        },
        write: async ({ tenant, ownerHash }, archive, signal) => {
          const tar = { type: 'application/x-tar', body: archive, signal }
          return digestFrom(await call('PUT', volumePath(ownerHash, tenant), copyMs, 200, undefined, tar))
        },
        remove: async ({ tenant, ownerHash }) => {
          await call('DELETE', volumePath(ownerHash, tenant), stopMs, 204)
        },
      },
      probe: async (id, signal) => {
        try {
          const more = signal && { signal }
          return factsFrom(await call('GET', `/v1/runtimes/${id}?probe=1`, shortMs, 200, undefined, more))
        } catch (error) {
          if (error instanceof AgentRefused && error.is('not-found')) return undefined
          throw error
        }
      },
    }
  },
})
