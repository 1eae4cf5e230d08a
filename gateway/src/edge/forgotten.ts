/** Which things were forgotten, so that whoever has read one meanwhile knows not to keep it. */
export type Forgotten = {
  note(id: string): void
  /** Begins a reading. @returns whether what was read of `id` since then may be kept */
  begin(): (id: string) => boolean
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
      return id => begun >= horizon && (at.get(id) ?? 0) <= begun
    },
  }
}
