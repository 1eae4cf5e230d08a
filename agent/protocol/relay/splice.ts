import type { Socket } from 'node:net'
import { reset } from './answer.ts'
import type { RelayErrorCode } from './errors.ts'

/** Milliseconds of silence after one side's FIN until the other side's is no longer waited for. */
const halfOpenMs = 60_000

export interface Splice {
  /** Resolves when both sockets are closed: with the reason, where it was not by both sides' FIN. */
  ended: Promise<RelayErrorCode | undefined>
  stop(code: RelayErrorCode): void
}

/** Carries bytes both ways between two connected sockets until both are closed. `idleMs`: silence that ends it; 0: none. */
export function splice(client: Socket, upstream: Socket, idleMs: number): Splice {
  let code: RelayErrorCode | undefined
  const { promise: ended, resolve } = Promise.withResolvers<RelayErrorCode | undefined>()

  const stop = (reason: RelayErrorCode) => {
    code ??= reason
    client.destroy()
    reset(upstream)
  }
  const closing = (closed: Socket, other: Socket, reason: RelayErrorCode) => {
    closed.once('close', () => {
      const wasClean = closed.readableEnded && closed.writableFinished
      if (!wasClean && !other.destroyed) {
        code ??= reason
        reset(other)
      }
      if (other.closed) resolve(code)
    })
  }
  closing(client, upstream, 'client-gone')
  closing(upstream, client, 'upstream-failed')

  // Every byte passes the client's socket, so its clock of silence is the clock of both directions.
  client.setTimeout(idleMs, () => stop('idle-timeout'))
  const onEnd = () => {
    if (idleMs === 0 || idleMs > halfOpenMs) client.setTimeout(halfOpenMs)
  }
  onceEnded(client, onEnd)
  onceEnded(upstream, onEnd)

  carry(client, upstream)
  carry(upstream, client)
  return { ended, stop }
}

/** One direction: as fast as the reader reads, FIN for FIN. */
function carry(from: Socket, to: Socket): void {
  from.on('data', chunk => {
    if (!to.write(chunk)) from.pause()
  })
  to.on('drain', () => from.resume())
  onceEnded(from, () => to.end())
}

/** A FIN that came before anybody listened, while the upgrade was still being answered, is not told again. */
function onceEnded(socket: Socket, then: () => void): void {
  if (socket.readableEnded) then()
  else socket.once('end', then)
}
