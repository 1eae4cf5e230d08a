const headBytes = 8

/**
 * The text of Docker's multiplexed log stream: frames of an 8-byte head (stream number, three zeros, length big-endian)
 * and their bytes. A container with a terminal has a plain stream, which is given as it is.
 */
export const demultiplex = (bytes: Buffer): string => {
  const frames: Buffer[] = []
  let at = 0
  while (at + headBytes <= bytes.length && isHead(bytes, at)) {
    const length = bytes.readUInt32BE(at + 4)
    frames.push(bytes.subarray(at + headBytes, at + headBytes + length))
    at += headBytes + length
  }
  return at === 0 ? bytes.toString('utf8') : Buffer.concat(frames).toString('utf8')
}

const isHead = (bytes: Buffer, at: number): boolean =>
  (bytes[at] ?? 255) <= 2 && bytes[at + 1] === 0 && bytes[at + 2] === 0 && bytes[at + 3] === 0
