import { keyHeader, type PersonalSettings } from '@porthole/protocol'
import { Agent, request } from 'undici'

/** Milliseconds that a container may take for it. */
const giveMs = 2000

/**
 * Gives a container that was started before it had an owner that owner's settings. Given again, the same ones are a success.
 * @returns why it has not taken them, without a word of what they are; undefined: it has
 * @throws only the signal's reason
 */
export type GivePersonal = (
  target: { origin: string; path: string; key?: string },
  settings: PersonalSettings,
  signal: AbortSignal,
) => Promise<string | undefined>

/** By HTTP: 204 means that they are taken. */
export const httpGivePersonal = (): GivePersonal => {
  const dispatcher = new Agent({ connect: { timeout: giveMs } })
  return async ({ origin, path, key }, settings, signal) => {
    try {
      const { statusCode, body } = await request(`${origin}${path}`, {
        method: 'POST',
        dispatcher,
        reset: true,
        headers: { 'content-type': 'application/json', ...(key === undefined ? {} : { [keyHeader]: key }) },
        body: JSON.stringify(settings),
        signal: AbortSignal.any([signal, AbortSignal.timeout(giveMs)]),
      })
      await body.dump()
      return statusCode === 204 ? undefined : `status ${statusCode}`
    } catch (error) {
      signal.throwIfAborted()
      return error instanceof Error && 'code' in error && typeof error.code === 'string'
        ? error.code
        : 'no usable answer'
    }
  }
}
