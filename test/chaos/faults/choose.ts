/** One of them, by a number in [0, 1). @param things never empty */
export function choose<T>(things: readonly T[], random: () => number): { thing: T; number: number } {
  const at = Math.floor(random() * things.length)
  const thing = things[at]
  if (thing === undefined) throw new Error('there is nothing to choose from')
  return { thing, number: at + 1 }
}
