import { request } from 'node:http'
import type { Chromium } from './chromium.ts'
import type { Display } from './display.ts'
import type { ProblemCode } from './problem.ts'

/** What `/health` tells: a problem and when it was used, or the facts of a runtime that is ready. */
export type Health = {
  problem?: ProblemCode
  /** Milliseconds since its screen, DevTools or RPC was last used; since its start where none was. */
  unusedMs: number
  status?: 'ready'
  /** Product and version, such as `Chrome/141.0.7390.54`. */
  chromium?: string
  ui?: boolean
  /** When a viewer last used keyboard, pointer or clipboard: ISO 8601, null when never. */
  lastInputAt?: string | null
  viewUrl?: string
  /** What the steps of the start took, in milliseconds. */
  start?: Readonly<Record<string, number>>
}

/** The agent gives a try 2 s; a browser that needs longer to say its version is not ready. */
const usualProbeMs = 1500

/** Chromium's version, when its DevTools answer within `ms` milliseconds. */
const askVersion = (port: number, ms: number): Promise<string | undefined> =>
  new Promise(resolve => {
    const probe = request(
      { host: '127.0.0.1', port, path: '/json/version', signal: AbortSignal.timeout(ms) },
      answer => {
        let body = ''
        answer.setEncoding('utf8').on('data', (chunk: string) => {
          body += chunk
        })
        answer.on('error', () => resolve(undefined))
        answer.on('end', () => resolve(/"Browser":\s*"([^"]+)"/.exec(body)?.[1]))
      },
    )
    probe.on('error', () => resolve(undefined))
    probe.end()
  })

export type HealthOptions = {
  ui: boolean
  viewUrl: () => string | undefined
  browser: () => { current(): Pick<Chromium, 'port'> | undefined } | undefined
  display: () => Pick<Display, 'answers'> | undefined
  lastInputAt: () => Date | undefined
  unusedMs: () => number
  startSteps: () => Readonly<Record<string, number>>
  /** Milliseconds that DevTools and the X server have for an answer. */
  probeMs?: number
}

/**
 * Asks DevTools and the X server whether they still answer. Callers at the same time share one probe. Where they do not, on a
 * machine that is busy, it is known all the same when the runtime was used, and the agent may ask for just that.
 */
export const createHealth = (options: HealthOptions): (() => Promise<Health>) => {
  const { probeMs = usualProbeMs } = options
  let probing: Promise<Health> | undefined
  const ill = (problem: ProblemCode): Health => ({ problem, unusedMs: options.unusedMs() })
  const probe = async (): Promise<Health> => {
    const chromium = options.browser()?.current()
    if (chromium === undefined) return ill('browser-down')
    const [version, screen] = await Promise.all([
      askVersion(chromium.port, probeMs),
      options.ui ? (options.display()?.answers(probeMs) ?? false) : true,
    ])
    if (version === undefined) return ill('browser-down')
    if (!screen) return ill('display-down')
    const viewUrl = options.viewUrl()
    return {
      status: 'ready',
      chromium: version,
      ui: options.ui,
      lastInputAt: options.lastInputAt()?.toISOString() ?? null,
      unusedMs: options.unusedMs(),
      start: options.startSteps(),
      ...(viewUrl === undefined ? {} : { viewUrl }),
    }
  }
  return () => {
    probing ??= probe().finally(() => {
      probing = undefined
    })
    return probing
  }
}
