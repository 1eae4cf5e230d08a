import { mkdtemp } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { type Child, describeExit, endChild, settlesWithin, startChild } from './child.ts'
import type { Config } from './config.ts'

/** A running X server that is also the VNC server. */
export type Display = {
  /** Value of DISPLAY, such as `:0`. */
  name: string
  /** Unix socket that speaks RFB. */
  vncSocket: string
  /** Settles when the keys are there that people type with, with a reason where they are not: then some characters are lost. */
  keyboard: Promise<string | undefined>
  /** Settles with a reason when the X server or the window manager has ended. */
  ended: Promise<string>
  /** Whether the X server answers a connection within `ms` milliseconds. */
  answers: (ms: number) => Promise<boolean>
  stop: () => Promise<void>
}

const startDeadlineMs = 15_000

/** The display's number, which Xtigervnc writes to this pipe once it takes connections. */
const readDisplayNumber = (pipe: Readable): Promise<string> =>
  new Promise(resolve => {
    let text = ''
    pipe.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      const number = /^(\d+)\n/.exec(text)?.[1]
      if (number !== undefined) resolve(number)
    })
  })

/** An X11 connection setup without authorisation (X11 protocol, section 8): the server answers 1 when it lets us in. */
const handshake = (socketPath: string, ms: number): Promise<boolean> =>
  new Promise(resolve => {
    const socket = connect(socketPath)
    const finish = (value: boolean) => {
      socket.destroy()
      resolve(value)
    }
    socket.setTimeout(ms, () => finish(false))
    socket.once('connect', () => socket.write(Buffer.from([0x6c, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0])))
    socket.once('data', data => finish(data[0] === 1))
    socket.once('error', () => finish(false))
    socket.once('close', () => finish(false))
  })

/**
 * Starts Xtigervnc on a free display number and openbox on it; resolves once X takes connections.
 * @throws Error when X ends or says nothing for 15 s.
 */
export const startDisplay = async (config: Config): Promise<Display> => {
  const vncSocket = join(await mkdtemp(join(tmpdir(), 'porthole-')), 'vnc.sock')
  const x = startChild(
    '/usr/bin/Xtigervnc',
    [
      ...['-displayfd', '3', '-geometry', `${config.screen.width}x${config.screen.height}`, '-depth', '24'],
      ...['-SecurityTypes', 'None', '-rfbport', '-1', '-rfbunixpath', vncSocket, '-rfbunixmode', '0600'],
      // No limit on failed logins: there are none, and a viewer that hangs up early would count as one.
      ...['-AlwaysShared', '-FrameRate', '30', '-BlacklistThreshold', '2147483647'],
      ...['-nolisten', 'tcp', '-extension', 'GLX', '-noreset', '-desktop', 'porthole'],
      // What is copied goes to viewers; what is merely selected does not.
      '-SendPrimary=0',
      // Keyboard input is never lost to a screen saver or a blanked screen.
      ...['-s', '0', '-dpms'],
    ],
    { env: config.childEnv, stdio: ['ignore', 'ignore', 'pipe', 'pipe'] },
  )
  const number = readDisplayNumber(x.process.stdio[3] as Readable)
  const early = x.exited.then(exit => {
    throw new Error(`Xtigervnc ${describeExit(exit)}: ${x.lastWords()}`)
  })
  early.catch(() => {})
  if (!(await settlesWithin(Promise.race([number, early]), startDeadlineMs))) {
    await endChild(x, 500)
    throw new Error(`Xtigervnc was not ready after ${startDeadlineMs / 1000} s: ${x.lastWords()}`)
  }
  const name = `:${await number}`
  const openbox = startWindowManager(config, name)
  const ended = Promise.race([
    x.exited.then(exit => `Xtigervnc ${describeExit(exit)}: ${x.lastWords()}`),
    openbox.exited.then(exit => `openbox ${describeExit(exit)}: ${openbox.lastWords()}`),
  ])
  return {
    name,
    vncSocket,
    keyboard: loadKeyboard(config, name),
    ended,
    answers: ms => handshake(`/tmp/.X11-unix/X${name.slice(1)}`, ms),
    stop: async () => {
      await endChild(openbox, 500)
      await endChild(x, 1000)
    },
  }
}

const keyboardDeadlineMs = 10_000

/** It was compiled when the image was made. Chromium starts meanwhile. */
const loadKeyboard = async (config: Config, display: string): Promise<string | undefined> => {
  const xkbcomp = startChild('/usr/bin/xkbcomp', ['-w0', '/opt/porthole/etc/keyboard.xkm', display], {
    env: config.childEnv,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  if (!(await settlesWithin(xkbcomp.exited, keyboardDeadlineMs))) {
    await endChild(xkbcomp, 500)
    return `xkbcomp had not loaded the keyboard after ${keyboardDeadlineMs / 1000} s`
  }
  const exit = await xkbcomp.exited
  return exit.code === 0 ? undefined : `xkbcomp ${describeExit(exit)}: ${xkbcomp.lastWords()}`
}

const startWindowManager = (config: Config, display: string): Child =>
  startChild('/usr/bin/openbox', ['--config-file', '/opt/porthole/etc/openbox.xml'], {
    env: { ...config.childEnv, DISPLAY: display },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
