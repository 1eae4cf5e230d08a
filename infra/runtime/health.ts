import { request } from 'node:http'
import type { Browser } from './browser.ts'
import type { Display } from './display.ts'
import type { ProblemCode } from './problem.ts'

/** What `/health` tells: a problem, or the facts of a runtime that is ready. */
export type Health = {
  problem?: ProblemCode
  status?: 'ready'
  /** Product and version, such as `Chrome/141.0.7390.54`. */
  chromium?: string
  ui?: boolean
  /** When a viewer last used keyboard, pointer or clipboard: ISO 8601, null when never. */
  lastInputAt?: string | null
  /** Milliseconds since its screen, DevTools or RPC was last used; since its start where none was. */
  unusedMs?: number
  viewUrl?: string
  /** What the steps of the start took, in milliseconds. */
  start?: Readonly<Record<string, number>>
}

/** The agent gives a try 2 s; a browser that needs longer to say its version is not ready. */
const probeMs = 1500

/** Chromium's version, when its DevTools answer within `probeMs`. */
const askVersion = (port: number): Promise<string | undefined> =>
  new Promise(resolve => {
    const probe = request(
      { host: '127.0.0.1', port, path: '/json/version', signal: AbortSignal.timeout(probeMs) },
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
  browser: () => Browser | undefined
  display: () => Display | undefined
  lastInputAt: () => Date | undefined
  unusedMs: () => number
  startSteps: () => Readonly<Record<string, number>>
}

/** Asks DevTools and the X server whether they still answer. Callers at the same time share one probe. */
export const createHealth = (options: HealthOptions): (() => Promise<Health>) => {
  let probing: Promise<Health> | undefined
  const probe = async (): Promise<Health> => {
    const chromium = options.browser()?.current()
    if (chromium === undefined) return { problem: 'browser-down' }
    const [version, screen] = await Promise.all([
      askVersion(chromium.port),
      options.ui ? (options.display()?.answers(probeMs) ?? false) : true,
    ])
    if (version === undefined) return { problem: 'browser-down' }
    if (!screen) return { problem: 'display-down' }
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
