import { randomFillSync } from 'node:crypto'
import { ulid } from 'ulid'

/** Bytes of randomness fetched at a time: an id takes 16, and left to itself asks for each by itself, which takes 0.1 ms. */
const poolBytes = 4096

/** Names requests, sortable by time: ULIDs. */
export const createRequestIds = (now: () => number): (() => string) => {
  const pool = new Uint8Array(poolBytes)
  let left = 0
  const random = () => {
    if (left === 0) {
      randomFillSync(pool)
      left = poolBytes
    }
    left -= 1
    return (pool[left] ?? 0) / 256
  }
  return () => ulid(now(), random)
}
