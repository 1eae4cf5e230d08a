/**
 * Text as presses of keys, or, where no key can stand for it, as what is pasted. Chromium takes no key for characters
 * beyond the first 65,536, such as emoji; and what is made of several characters, such as a family, only as a whole.
 *
 * @typedef {{ keys: string } | { paste: string }} Part
 */

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })

/** @param {string} grapheme */
const needsPaste = grapheme => [...grapheme].some(character => character.length > 1 || /[\u200d\ufe0f]/.test(character))

/**
 * Text in parts of one kind each, in order.
 * @param {string} text
 * @returns {Part[]}
 */
export function partsOf(text) {
  /** @type {Part[]} */
  const parts = []
  for (const { segment } of graphemes.segment(text)) {
    const last = parts.at(-1)
    if (needsPaste(segment)) {
      if (last && 'paste' in last) last.paste += segment
      else parts.push({ paste: segment })
    } else if (last && 'keys' in last) last.keys += segment
    else parts.push({ keys: segment })
  }
  return parts
}

/** Until the browser over there has asked for what is pasted: the next one would replace it. */
const pasteMs = 400

/**
 * @param {object} needs
 * @param {(character: string) => void} needs.press
 * @param {(text: string) => void} needs.paste
 * @param {(ms: number) => Promise<unknown>} [needs.wait]
 * @returns {(text: string) => Promise<void>} writes; what is written before it is done comes after it
 */
export function createTyping({ press, paste, wait = ms => new Promise(resolve => setTimeout(resolve, ms)) }) {
  /** @type {Promise<void> | undefined} */
  let writing
  /** @param {readonly Part[]} parts */
  const writeAll = async parts => {
    for (const part of parts) {
      if ('keys' in part) for (const character of part.keys) press(character)
      else {
        paste(part.paste)
        await wait(pasteMs)
      }
    }
  }
  return text => {
    const parts = partsOf(text)
    const mine = writing ? writing.then(() => writeAll(parts)) : writeAll(parts)
    writing = mine
    return mine.finally(() => {
      if (writing === mine) writing = undefined
    })
  }
}
