import RFB from './core/rfb.js'

/** An open socket greets at once: the gateway opens it when it has the runtime on the other side. */
const handshakeMs = 10_000

/**
 * noVNC 1.7 forgets what it offered for pasting when a clipboard comes from over there, which may have left before the
 * offer arrived. The server then asks in vain, and the remote browser stands still until it gives up. What was offered
 * last is kept: the server asks only while that is what it goes by.
 * @param {any} rfb
 */
function keepOffer(rfb) {
  /** @type {string | null} */
  let offered = rfb._clipboardText
  Object.defineProperty(rfb, '_clipboardText', {
    get: () => offered,
    set: text => {
      if (text !== null) offered = text
    },
  })
}

/**
 * One RFB connection drawn into `container`. A new one is made for every attempt: an RFB object can't reconnect.
 * @typedef {import('./state.js').Options} Options
 * @typedef {object} Where
 * @property {HTMLElement} container
 * @property {string} url ws: or wss:
 * @property {Options} options
 * @property {ReturnType<typeof import('./quality.js').createQuality>} quality
 * @property {(text: string) => void} onClipboard
 * @param {Where} where
 * @param {import('./connection.js').Told} told
 */
export function openSession({ container, url, options, quality, onClipboard }, told) {
  const socket = new WebSocket(url)
  const rfb = new RFB(container, socket, { shared: true })
  let heardAt = Date.now()
  let open = false

  keepOffer(rfb)
  rfb.viewOnly = options.viewOnly
  rfb.scaleViewport = options.resize === 'scale'
  rfb.resizeSession = options.resize === 'remote'
  rfb.background = 'transparent'
  /** @param {import('./quality.js').Level} level */
  const setQuality = level => {
    rfb.qualityLevel = level.quality
    rfb.compressionLevel = level.compression
    document.documentElement.dataset.quality = String(level.quality)
  }
  quality.begin()
  if (options.quality === undefined) setQuality(quality.level)
  else rfb.qualityLevel = options.quality

  socket.addEventListener('message', ({ data }) => {
    heardAt = Date.now()
    quality.received(data.byteLength)
  })
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let handshake
  socket.addEventListener('open', () => {
    handshake = setTimeout(told.closed, handshakeMs)
  })
  rfb.addEventListener('connect', () => {
    clearTimeout(handshake)
    open = true
    told.connected()
  })
  rfb.addEventListener('disconnect', () => {
    clearTimeout(handshake)
    open = false
    told.closed()
  })
  rfb.addEventListener('clipboard', (/** @type {CustomEvent} */ event) => onClipboard(event.detail.text))
  // Runtimes have no VNC password: the gateway is the door. A server that asks for one is not ours.
  rfb.addEventListener('credentialsrequired', () => told.closed())

  return {
    rfb,
    setQuality,
    heardAt: () => heardAt,
    close() {
      clearTimeout(handshake)
      if (open || socket.readyState <= WebSocket.OPEN) rfb.disconnect()
    },
    /** A FramebufferUpdateRequest (RFC 6143, 7.5.3) for one pixel, not incremental: it must be answered. */
    nudge() {
      if (open && socket.readyState === WebSocket.OPEN) socket.send(new Uint8Array([3, 0, 0, 0, 0, 0, 0, 1, 0, 1]))
    },
  }
}
