import { createInterface } from 'node:readline'

/** One line of what an engine reports while it pulls, imports or builds. */
export type EngineLine = {
  stream?: string
  status?: string
  id?: string
  progress?: string
  error?: string
  aux?: { ID?: string }
}

/** A signal that is aborted after `ms` without a call of `touch`, or with `outer`. Call `end` when done. */
export const idleSignal = (
  ms: number,
  outer: AbortSignal,
): { signal: AbortSignal; touch: () => void; end: () => void } => {
  const idle = new AbortController()
  const expire = () => idle.abort(new Error(`the engine said nothing for ${ms / 1000} s`))
  let timer = setTimeout(expire, ms)
  return {
    signal: AbortSignal.any([idle.signal, outer]),
    touch: () => {
      clearTimeout(timer)
      timer = setTimeout(expire, ms)
    },
    end: () => clearTimeout(timer),
  }
}

/**
 * Reads an engine's answer to its end, telling every line.
 * @throws Error with the engine's own message when it reports one; an answer of 200 says nothing about success.
 */
export const followEngine = async (
  stream: NodeJS.ReadableStream,
  onLine: (line: EngineLine) => void,
): Promise<void> => {
  for await (const text of createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (text.trim() === '') continue
    const line: EngineLine = JSON.parse(text)
    if (line.error !== undefined) throw new Error(line.error)
    onLine(line)
  }
}
