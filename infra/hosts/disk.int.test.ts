import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { noLab } from '../../test/lab/kit.ts'
import { mountDisk } from './disk.ts'
import { system } from './system.ts'

it("a host's disk is filled to its last block, emptied, and keeps the rest for the next run", {
  skip: noLab(),
}, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'porthole-disk-'))
  const first = await mountDisk(folder, 64 * 2 ** 20)
  const unmount = () => system('umount', [first.folder])
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  try {
    writeFileSync(join(first.folder, 'kept'), 'it is')
    await first.fill()
    assert.throws(() => writeFileSync(join(first.folder, 'more'), Buffer.alloc(4096)), { code: 'ENOSPC' })
  } finally {
    await unmount()
  }
  const second = await mountDisk(folder, 64 * 2 ** 20)
  try {
    assert.equal(readFileSync(join(second.folder, 'kept'), 'utf8'), 'it is')
    writeFileSync(join(second.folder, 'more'), Buffer.alloc(16 * 2 ** 20))
    await second.empty()
  } finally {
    await unmount()
  }
})
