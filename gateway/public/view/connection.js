import { backoffMs, verdictOf } from './state.js'

/**
 * One live view's connection: opened at once, watched, and opened again when it is lost, for as long as somebody looks.
 *
 * @typedef {import('./state.js').Phase} Phase
 * @typedef {{ status: number, state?: string | null | undefined, why?: string | null | undefined }} Answer
 * @typedef {object} Session
 * @property {() => void} close
 * @property {() => void} nudge asks the far side for a byte, to learn whether it is still there
 * @property {() => number} heardAt when it last said anything, in milliseconds
 * @typedef {{ connected: () => void, closed: () => void }} Told
 * @typedef {object} Clock
 * @property {() => number} now
 * @property {(then: () => void, ms: number) => unknown} set
 * @property {(timer: any) => void} clear
 * @typedef {object} Needs
 * @property {(told: Told) => Session} open may throw, which counts as closed
 * @property {() => Promise<Answer>} probe the gateway's answer for the page itself; never rejects
 * @property {() => Promise<Answer>} restart starts one that does not run by itself when somebody connects; never rejects
 * @property {() => boolean} visible
 * @property {(phase: Phase, why?: string | null) => void} show `why`: the gateway's code, where it has not started
 * @property {Clock} [clock]
 */

/** A stopped runtime may need its whole start time (45 s by default) before the socket speaks. */
const connectDeadlineMs = 60_000
/** A still screen says nothing: after this long in silence it is asked. */
const quietMs = 10_000
const nudgeDeadlineMs = 5_000
const pulseMs = 2_500
/** How often a page that shows a resting browser looks whether somebody woke it elsewhere. */
const restingMs = 5_000
/** A connection that lasted this long was a good one: the next loss starts the waits from the beginning. */
const steadyMs = 5_000
const longestGatewayWaitMs = 1_000

/** @type {Clock} */
const realClock = {
  now: () => Date.now(),
  set: (then, ms) => setTimeout(then, ms),
  clear: timer => clearTimeout(timer),
}

/** @param {Needs} needs */
export function createConnection({ open, probe, restart, visible, show, clock = realClock }) {
  /** @type {Phase} */
  let phase = 'connecting'
  /** @type {Session | undefined} */
  let session
  /** @type {unknown} */
  let timer
  /** Rises with every step, so that a late word from an older one is not acted on. */
  let turn = 0
  let attempt = 0
  /** @type {number | undefined} */
  let connectedAt
  /** @type {number | undefined} */
  let nudgedAt
  let everConnected = false

  /** @param {Phase} next @param {string | null} [why] */
  const move = (next, why) => {
    phase = next
    show(next, why)
  }
  /** @type {(ms: number, then: () => void) => void} */
  const later = (ms, then) => {
    clock.clear(timer)
    timer = clock.set(then, ms)
  }
  const isDown = () => phase === 'failed' || phase === 'lost'
  const isResting = () => phase === 'stopped' || phase === 'paused' || isDown()
  const isOver = () => phase === 'gone' || phase === 'expired'

  function connect() {
    session?.close()
    const mine = ++turn
    if (phase !== 'waiting') move(everConnected ? 'reconnecting' : 'connecting')
    later(connectDeadlineMs, () => lost(mine))
    const told = {
      connected: () => {
        if (mine !== turn) return
        everConnected = true
        connectedAt = clock.now()
        nudgedAt = undefined
        move('connected')
        later(pulseMs, () => pulse(mine))
      },
      closed: () => lost(mine),
    }
    try {
      session = open(told)
    } catch {
      lost(mine)
    }
  }

  /** @param {number} of the turn whose socket closed */
  function lost(of) {
    if (of !== turn) return
    turn += 1
    const closing = session
    session = undefined
    closing?.close()
    if (connectedAt !== undefined && clock.now() - connectedAt >= steadyMs) attempt = 0
    connectedAt = undefined
    if (phase === 'connected') move('reconnecting')
    void judge()
  }

  /** Asks the gateway why, and goes on from its answer. */
  async function judge() {
    clock.clear(timer)
    const mine = ++turn
    const answer = await probe()
    if (mine !== turn) return
    const verdict = verdictOf(answer)
    // A resting browser is only taken for awake on the gateway's word: a lost packet must not start it.
    if (isResting() && (answer.status === 0 || verdict === 'waiting')) return later(restingMs, look)
    if (verdict === 'stopped' || verdict === 'paused' || verdict === 'failed' || verdict === 'lost') {
      // What was said of a start in vain stays, until something else is to be said.
      if (verdict !== phase) move(verdict, answer.why)
      return later(restingMs, look)
    }
    if (verdict === 'gone' || verdict === 'expired') return move(verdict)
    if (isResting()) return connect()
    if (verdict === 'waiting') move('waiting')
    else move(everConnected ? 'reconnecting' : 'connecting')
    const wait = backoffMs(attempt)
    attempt += 1
    later(verdict === 'waiting' ? Math.max(wait, longestGatewayWaitMs) : wait, () => {
      if (visible()) connect() // otherwise wake() does, when somebody looks again
    })
  }

  /** A runtime that failed is not woken by who connects: it would fail again and again for a page that is left open. */
  async function startAgain() {
    clock.clear(timer)
    const mine = ++turn
    const { status, why } = await restart()
    if (mine !== turn) return
    if (status >= 200 && status < 300) return connect()
    const answer = await probe()
    if (mine !== turn) return
    const verdict = verdictOf(answer)
    if (verdict !== 'failed' && verdict !== 'lost') return connect()
    move(verdict, why)
    later(restingMs, look)
  }

  function look() {
    if (visible()) void judge()
    else later(restingMs, look)
  }

  /** @param {number} of */
  function pulse(of) {
    if (of !== turn || session === undefined) return
    later(pulseMs, () => pulse(of))
    if (!visible()) return
    const now = clock.now()
    const heard = session.heardAt()
    const asked = nudgedAt !== undefined && nudgedAt > heard
    if (asked && now - Number(nudgedAt) >= nudgeDeadlineMs) lost(of)
    else if (!asked && now - heard >= quietMs) nudge()
  }

  function nudge() {
    nudgedAt = clock.now()
    session?.nudge()
  }

  return {
    /** Connects. */
    start: connect,
    /** Somebody asked for it: connects, which wakes a resting runtime. */
    resume() {
      attempt = 0
      everConnected = false
      const wasDown = isDown()
      move('connecting')
      if (wasDown) void startAgain()
      else connect()
    },
    /**
     * The page is looked at again, or the machine is back on the network.
     * @param {{ networkChanged?: boolean }} [why] a socket of the old network may be dead without knowing it
     */
    wake({ networkChanged = false } = {}) {
      if (!visible()) return
      if (phase === 'connected') nudge()
      else if (isResting() || isOver()) void judge()
      else if (session === undefined || networkChanged) connect()
    },
    /** @returns {Phase} */
    get phase() {
      return phase
    },
  }
}
