import { type Child, describeExit, settlesWithin, startChild } from './child.ts'
import type { Config } from './config.ts'
import { profileDir } from './profile.ts'

/** A Chromium whose DevTools have announced themselves. */
export type Chromium = {
  /** Port of the DevTools server on 127.0.0.1. */
  port: number
  /** Path of the browser target's socket, `/devtools/browser/<uuid>`. */
  browserPath: string
  child: Child
}

const startDeadlineMs = 40_000

/** Chromium prints this once its DevTools server takes connections. */
export const parseAnnouncement = (line: string): { port: number; path: string } | undefined => {
  const match = /^DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)(\/devtools\/browser\/\S+)$/.exec(line)
  return match?.[1] === undefined || match[2] === undefined ? undefined : { port: Number(match[1]), path: match[2] }
}

/** Given in one flag: of several the last one wins. */
const disabledFeatures = [
  ...['Translate', 'MediaRouter', 'DialMediaRouteProvider'],
  // Models that are fetched and run for features nobody here uses.
  ...['OptimizationHints', 'OptimizationGuideModelDownloading', 'OptimizationGuideOnDeviceModel'],
  // A renderer of 75 MB that waits for somebody to type into the address bar.
  ...['WebUIOmniboxPopup', 'WebUIOmniboxAimPopup'],
]

/** What Chromium is started with. */
export type Launch = {
  /** Of the X server; without one Chromium runs headless. */
  display: string | undefined
  /** Whether it opens the pages of its last session; else an empty one. */
  restores: boolean
}

/** Command line of Chromium. */
export const chromiumArguments = (config: Config, { display, restores }: Launch): string[] => [
  `--user-data-dir=${profileDir(config)}`,
  '--remote-debugging-port=0',
  ...['--no-first-run', '--no-default-browser-check', '--password-store=basic', '--disable-gpu'],
  ...['--disable-component-update', '--disable-sync', '--disable-breakpad', '--hide-crash-restore-bubble'],
  ...['--noerrdialogs', '--disable-infobars', '--log-level=3'],
  `--disable-features=${disabledFeatures.join(',')}`,
  `--window-size=${config.screen.width},${config.screen.height}`,
  ...(display === undefined
    ? ['--headless=new']
    : ['--ozone-platform=x11', '--window-position=0,0', '--start-maximized']),
  // An address would be opened beside the pages of the last session.
  ...(restores ? [] : ['about:blank']),
]

/**
 * Starts Chromium with its sandbox; resolves once DevTools listen.
 * @throws Error when it ends, or says nothing for 40 s.
 */
export const startChromium = async (config: Config, launch: Launch): Promise<Chromium> => {
  let announce: (found: { port: number; path: string }) => void = () => {}
  const announced = new Promise<{ port: number; path: string }>(resolve => {
    announce = resolve
  })
  // Not Debian's wrapper, which adds flags by the machine it finds.
  const child = startChild('/usr/lib/chromium/chromium', chromiumArguments(config, launch), {
    env: {
      ...config.childEnv,
      ...(launch.display === undefined ? {} : { DISPLAY: launch.display }),
      CHROME_WRAPPER: '/usr/lib/chromium/chromium',
      // There is no bus; without this Chromium tries to start one.
      DBUS_SESSION_BUS_ADDRESS: 'disabled:',
      DBUS_SYSTEM_BUS_ADDRESS: 'disabled:',
    },
    stdio: ['ignore', 'ignore', 'pipe'],
    onLine: line => {
      const found = parseAnnouncement(line)
      if (found !== undefined) announce(found)
    },
  })
  const early = child.exited.then(exit => {
    throw new Error(`Chromium ${describeExit(exit)}: ${child.lastWords()}`)
  })
  early.catch(() => {})
  if (!(await settlesWithin(Promise.race([announced, early]), startDeadlineMs))) {
    child.process.kill('SIGKILL')
    throw new Error(`Chromium's DevTools were not ready after ${startDeadlineMs / 1000} s: ${child.lastWords()}`)
  }
  const { port, path } = await announced
  return { port, browserPath: path, child }
}
