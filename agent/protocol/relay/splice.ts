import type { Socket } from 'node:net'
import { reset } from './answer.ts'
import type { RelayErrorCode } from './errors.ts'
import type { Reader } from './reader.ts'
import type { Silence } from './silence.ts'

export interface Splice {
  /** Resolves when both sockets are closed: with the reason, where it was not by both sides' FIN. */
  ended: Promise<RelayErrorCode | undefined>
  stop(code: RelayErrorCode): void
}

/** Milliseconds of silence that end a splice; 0: none. */
export interface Patience {
  idleMs: number
  /** After one side's FIN, while the other side's is waited for. */
  halfOpenMs: number
}

/**
 * Carries bytes both ways between two connected sockets until both are closed.
 * @param onSent given every piece of the client's, to look at only
 */
export function splice(
  client: Socket,
  { socket: upstream, reader }: { socket: Socket; reader?: Reader },
  patience: Patience,
  silence: Silence,
  onSent?: (piece: Buffer) => void,
): Splice {
  let code: RelayErrorCode | undefined
  const { promise: ended, resolve } = Promise.withResolvers<RelayErrorCode | undefined>()

  const stop = (reason: RelayErrorCode) => {
    code ??= reason
    client.destroy()
    reset(upstream)
  }
  let fins = 0
  const watched = {
    patienceMs: patience.idleMs,
    // Every byte passes the client's socket, so its silence is the silence of both directions. A FIN breaks it too.
    passed: () => client.bytesRead + client.bytesWritten + fins,
    over: () => stop('idle-timeout'),
  }
  const forget = silence.watch(watched)
  const closing = (closed: Socket, other: Socket, reason: RelayErrorCode) => {
    closed.on('close', () => {
      const wasClean = closed.readableEnded && closed.writableFinished
      if (!wasClean && !other.destroyed) {
        code ??= reason
        reset(other)
      }
      if (!other.closed) return
      forget()
      resolve(code)
    })
  }
  closing(client, upstream, 'client-gone')
  closing(upstream, client, 'upstream-failed')

  const ending = (ended: Socket, other: Socket) => {
    onEnded(ended, () => {
      fins += 1
      const { idleMs, halfOpenMs } = patience
      watched.patienceMs = idleMs > 0 && halfOpenMs > 0 ? Math.min(idleMs, halfOpenMs) : idleMs || halfOpenMs
      other.end()
    })
  }
  carry(client, upstream, onSent)
  ending(client, upstream)
  if (!reader?.passTo(client)) carry(upstream, client)
  ending(upstream, client)
  return { ended, stop }
}

/** One direction: as fast as the reader reads. */
function carry(from: Socket, to: Socket, look?: (piece: Buffer) => void): void {
  from.on('data', chunk => {
    look?.(chunk)
    if (!to.write(chunk)) from.pause()
  })
  to.on('drain', () => from.resume())
}

/**
 * A FIN that came before anybody listened, while the upgrade was still being answered, is not told again. It comes once, so
 * nothing has to take the listener off.
 */
function onEnded(socket: Socket, then: () => void): void {
  if (socket.readableEnded) then()
  else socket.on('end', then)
}
