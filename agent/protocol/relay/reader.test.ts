import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { createBuffers, Reader } from './reader.ts'

const megabyte = 1024 * 1024

const listening = async (t: TestContext, onSocket: (socket: Socket) => void): Promise<number> => {
  const server = net.createServer(onSocket).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** A sender and a receiver with a reader between them, as a relay has it. */
const joined = async (t: TestContext, buffers = createBuffers()) => {
  const ends: Socket[] = []
  const port = await listening(t, socket => ends.push(socket))
  const connected = async (options: Partial<net.TcpNetConnectOpts> = {}) => {
    const near = net.connect({ port, host: '127.0.0.1', ...options })
    const count = ends.length
    await once(near, 'connect')
    while (ends.length === count) await setImmediate()
    const far = ends[count]
    assert(far)
    t.after(() => {
      near.destroy()
      far.destroy()
    })
    return { near, far }
  }
  const reader = new Reader(buffers)
  const { near: from, far: sender } = await connected({ onread: reader.onread })
  reader.reads(from)
  const { near: receiver, far: to } = await connected()
  assert(reader.passTo(to))
  from.once('end', () => to.end())
  return { sender, receiver }
}

const digestOf = async (socket: Socket, isSlow: boolean): Promise<string> => {
  const hash = createHash('sha256')
  let chunks = 0
  for await (const chunk of socket) {
    hash.update(chunk)
    chunks += 1
    // Long enough for what waits to be more than the kernel takes.
    if (isSlow && chunks % 16 === 0) for (let n = 0; n < 20; n += 1) await setImmediate()
  }
  return hash.digest('hex')
}

test('what readers that share large buffers pass on arrives as it was sent, slow receivers or not', async t => {
  const buffers = createBuffers()
  await Promise.all(
    Array.from({ length: 6 }, async (_, n) => {
      const { sender, receiver } = await joined(t, buffers)
      const sent = createHash('sha256')
      const received = digestOf(receiver, n % 2 === 0)
      for (let size = 1; size <= 4 * megabyte; size *= 4) {
        for (const more of [-1, 0, 4096]) {
          const bytes = randomBytes(Math.max(1, size + more))
          sent.update(bytes)
          if (!sender.write(bytes)) await once(sender, 'drain')
        }
      }
      sender.end()
      assert.equal(await received, sent.digest('hex'))
    }),
  )
})

test('a connection that sleeps after much has passed holds no large buffer', async t => {
  const buffers = createBuffers()
  let taken = 0
  let most = 0
  const counted = {
    small: buffers.small,
    take: () => {
      taken += 1
      most = Math.max(most, taken)
      return buffers.take()
    },
    giveBack: (buffer: Buffer) => {
      taken -= 1
      buffers.giveBack(buffer)
    },
    forfeit: (buffer: Buffer) => {
      taken -= 1
      buffers.forfeit(buffer)
    },
  }
  const { sender, receiver } = await joined(t, counted)
  let left = 3 * megabyte + 1000
  sender.write(Buffer.alloc(left))
  for await (const chunk of receiver) {
    left -= chunk.length
    if (left === 0) break
  }
  assert.equal(most, 1)
  assert.equal(taken, 0)
})

test('connections beyond those that large buffers are for have smaller ones', () => {
  const buffers = createBuffers()
  const large = Array.from({ length: 256 }, () => buffers.take())
  const [first] = large
  assert(first)
  assert.equal(first.length, 256 * 1024)
  const fair = buffers.take()
  assert.equal(fair.length, 32 * 1024)
  buffers.giveBack(fair)
  buffers.giveBack(first)
  assert.equal(buffers.take(), first)
  assert.equal(buffers.take().length, 32 * 1024)
})
