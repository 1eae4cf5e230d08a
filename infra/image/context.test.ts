import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { extract } from 'tar-stream'
import { packContext, readInputs } from './context.ts'

test('the same inputs have the same hash, and another architecture another one', async () => {
  const [first, second, other] = await Promise.all([readInputs('amd64'), readInputs('amd64'), readInputs('arm64')])
  assert.match(first.hash, /^[0-9a-f]{64}$/)
  assert.equal(first.hash, second.hash)
  assert.notEqual(first.hash, other.hash)
})

test('the context has the program, what it imports and a Node that can be run but not read, and no tests', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'porthole-context-'))
  try {
    const binary = join(directory, 'node')
    await writeFile(binary, 'binary')
    const modes = new Map<string, number | undefined>()
    const reader = extract()
    packContext(await readInputs('amd64'), binary).pipe(reader)
    for await (const entry of reader) {
      modes.set(entry.header.name, entry.header.mode)
      entry.resume()
    }
    const names = [...modes.keys()]
    for (const name of [
      'Dockerfile',
      'app/main.ts',
      'app/etc/policies.json',
      'node_modules/ws/wrapper.mjs',
      'node_modules/zod/index.js',
    ]) {
      assert.ok(names.includes(name), name)
    }
    assert.equal(modes.get('node/node'), 0o711)
    assert.deepEqual(
      names.filter(name => /\.test\.ts$|testing\/|\.d\.ts$/.test(name)),
      [],
    )
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('a Node binary that is missing ends the context with an error instead of a short archive', async () => {
  const context = packContext(await readInputs('amd64'), '/nowhere/node')
  await assert.rejects(async () => {
    for await (const _ of context);
  }, /ENOENT/)
})
