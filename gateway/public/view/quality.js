/**
 * How fine a picture a slow link is asked to carry. It goes down by itself when the link shows to be slow, and is tried
 * again, one step better, once it has not shown so for a while.
 *
 * @typedef {{ quality: number, compression: number }} Level noVNC's 0 to 9, of JPEG and of zlib
 */

/** Best first. The first is noVNC's own choice. @type {readonly Level[]} */
export const levels = [
  { quality: 6, compression: 2 },
  { quality: 4, compression: 4 },
  { quality: 2, compression: 6 },
  { quality: 0, compression: 9 },
]

/** Bytes in a millisecond that a link has to carry for each level but the last: with less, one more is too much. */
const neededRates = [1000, 350, 120]
/**
 * A runtime sends what it has in pieces of 64 KiB at most. After a piece as large as that the next one was waiting, so how
 * long that took is the link's doing; the time after a smaller piece is the screen's, which had nothing new to show.
 */
const fullPiece = 60 * 1024
/** A longer gap than this is a pause, whatever came before. */
const longestGapMs = 8000
/** Bytes of such pieces that make up a judgement. */
const judgedBytes = 128 * 1024
const firstPatienceMs = 20_000
const longestPatienceMs = 320_000

/**
 * @param {object} needs
 * @param {() => number} needs.now milliseconds of any clock
 * @param {(level: Level) => void} needs.apply called with each new level
 */
export function createQuality({ now, apply }) {
  let at = 0
  let last = { bytes: 0, at: 0 }
  let judged = { bytes: 0, ms: 0 }
  let slowAt = now()
  let patienceMs = firstPatienceMs
  let raisedAt = Number.NEGATIVE_INFINITY

  /** @param {number} next */
  const move = next => {
    at = next
    judged = { bytes: 0, ms: 0 }
    apply(/** @type {Level} */ (levels[at]))
  }
  /** @param {number} rate */
  const levelFor = rate => {
    const enough = neededRates.findIndex(needed => rate >= needed)
    return enough < 0 ? levels.length - 1 : enough
  }
  const judge = () => {
    const wanted = levelFor(judged.bytes / judged.ms)
    judged = { bytes: 0, ms: 0 }
    if (wanted < at) return
    if (wanted > 0) slowAt = now()
    if (wanted === at) return
    // A better picture that was tried in vain is tried less and less often.
    const wasInVain = now() - raisedAt < firstPatienceMs
    patienceMs = wasInVain ? Math.min(2 * patienceMs, longestPatienceMs) : firstPatienceMs
    move(wanted)
  }

  return {
    /** The level of this moment. @returns {Level} */
    get level() {
      return /** @type {Level} */ (levels[at])
    },
    /** A message of the runtime's has arrived. @param {number} bytes */
    received(bytes) {
      const time = now()
      const gap = time - last.at
      if (last.bytes >= fullPiece && gap <= longestGapMs) {
        judged.bytes += bytes
        // What waited here while the page was busy comes all at once.
        judged.ms += Math.max(gap, 0.1)
        if (judged.bytes >= judgedBytes) judge()
      }
      last = { bytes, at: time }
      if (at > 0 && time - slowAt >= patienceMs) {
        slowAt = raisedAt = time
        move(at - 1)
      }
    },
    /** Another connection, perhaps by another way: its first pieces do not follow on the last one's. */
    begin() {
      last = { bytes: 0, at: 0 }
      judged = { bytes: 0, ms: 0 }
    },
  }
}
