import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { it } from 'node:test'
import { openDoorway } from './doorway.ts'

async function gateway(name: string) {
  const server = createServer((_, answer) => answer.setHeader('connection', 'close').end(name))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  return { url: `http://127.0.0.1:${port}`, close: () => new Promise<unknown>(done => server.close(done)) }
}

it('connections go to all gateways by turns, past one that is gone, and end with the doorway', async () => {
  const [one, two] = [await gateway('one'), await gateway('two')]
  const doorway = await openDoorway({ host: '127.0.0.1', to: [one.url, two.url] })
  const ask = async () => await (await fetch(doorway.url, { signal: AbortSignal.timeout(5_000) })).text()
  try {
    assert.deepEqual([await ask(), await ask()].sort(), ['one', 'two'])
    await one.close()
    assert.deepEqual([await ask(), await ask(), await ask()], ['two', 'two', 'two'])
  } finally {
    await two.close()
    await assert.rejects(ask())
    await doorway.close()
  }
  await assert.rejects(ask())
})
