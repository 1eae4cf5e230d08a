import type http from 'node:http'
import type { RelayErrorCode } from './errors.ts'
import type { RelayResult } from './types.ts'

/** One request between a client and an upstream. Its end is the end of the client's side. */
export interface Exchange {
  start(): void
  /** Gives the upstream up, and tells the client why where it can still be told. Idempotent. */
  stop(code: RelayErrorCode): void
  /** Once the client's side is over. */
  result(): RelayResult
}

/** Runs `exchange` until `res` is closed, however that comes about. */
export function untilClosed(
  exchange: Exchange,
  req: http.IncomingMessage,
  res: http.ServerResponse,
): Promise<RelayResult> {
  return new Promise(resolve => {
    const onClose = () => {
      res.off('close', onClose)
      if (!res.writableFinished) exchange.stop('client-gone')
      resolve(exchange.result())
    }
    // Comes for a response too that waits behind an earlier one of its connection.
    res.on('close', onClose)
    if (res.closed || req.socket.destroyed) onClose()
    else exchange.start()
  })
}
