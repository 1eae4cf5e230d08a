/**
 * Numbers in [0, 1) that are the same for the same seed: mulberry32, by Tommy Ettinger, in the public domain. Good enough
 * to choose with, for nothing else.
 *
 * @param seed a whole number; its lowest 32 bits count
 */
export const createRandom = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
