import { Readable } from 'node:stream'
import { pack } from 'tar-stream'

/** A build context of a few texts, by their names, as a tar stream. */
export const packTexts = (texts: Readonly<Record<string, string>>): Readable => {
  const tar = pack()
  for (const [name, text] of Object.entries(texts)) tar.entry({ name }, text)
  tar.finalize()
  return Readable.from(tar)
}
