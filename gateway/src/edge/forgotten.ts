/** Which things were forgotten, so that whoever has read one meanwhile knows not to keep it. */
export type Forgotten = {
  note(id: string): void
  begin(): Reading
}

export type Reading = {
  /** Whether what was read of `id` since it began may be kept. */
  mayKeep(id: string): boolean
  /** Whether nothing at all was forgotten since it began: what it reads is as good as what is read from now on. */
  isFresh(): boolean
}

/** @param most how many are told apart; of a reading under way while more are forgotten, nothing may be kept */
export const createForgotten = (most = 10_000): Forgotten => {
  /** When each was forgotten last, the latest last. */
  const at = new Map<string, number>()
  let count = 0
  /** What was forgotten up to then is told apart no more. */
  let horizon = 0
  return {
    note: id => {
      at.delete(id)
      at.set(id, ++count)
      if (at.size <= most) return
      const [oldest] = at
      if (!oldest) return
      at.delete(oldest[0])
      horizon = oldest[1]
    },
    begin: () => {
      const begun = count
      return {
        mayKeep: id => begun >= horizon && (at.get(id) ?? 0) <= begun,
        isFresh: () => begun === count,
      }
    },
  }
}
