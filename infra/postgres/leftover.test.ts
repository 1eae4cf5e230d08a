import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { postmasterPid, saysReady, servesData } from './leftover.ts'
import { canReach, postgresUser, userNamed } from './user.ts'

const file = '22004\n/tmp/pg/cluster/data\n1795231215\n36477\n\n127.0.0.1\n  12345 0\nready   \n'

describe('a postmaster.pid', () => {
  it('names the process and says when it is ready', () => {
    assert.equal(postmasterPid(file), 22004)
    assert.ok(saysReady(file))
    assert.ok(!saysReady(file.replace('ready   ', 'starting')))
  })

  it('cut short by a crash names nobody', () => {
    for (const text of ['', '\n', 'x\n', '0\n', '-5\n']) assert.equal(postmasterPid(text), undefined)
    assert.ok(!saysReady('22004\n/tmp'))
  })

  it('whose number went to another program is not ours to end', () => {
    assert.ok(servesData('/x/bin/postgres -D /a/data -p 1', '/a/data'))
    assert.ok(!servesData('/x/bin/postgres -D /a/data2 -p 1', '/a/data'))
    assert.ok(!servesData('vim /a/data', '/a/data'))
    assert.ok(!servesData('', '/a/data'))
  })
})

describe('who Postgres runs as', () => {
  const passwd = 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:\npostgres:x:101:104::/:/bin/bash\n'
  it('is ourselves unless we are root', () => {
    assert.equal(postgresUser(1000), undefined)
  })
  it('is postgres where there is one, else nobody, and never root', () => {
    assert.deepEqual(
      postgresUser(0, () => passwd),
      { uid: 101, gid: 104 },
    )
    assert.deepEqual(
      postgresUser(0, () => passwd.replace('postgres', 'pg')),
      { uid: 65534, gid: 65534 },
    )
    assert.throws(() => postgresUser(0, () => 'root:x:0:0::/root:/bin/sh'), /neither a user postgres nor nobody/)
    assert.equal(userNamed('postgres:x:0:0::/:', 'postgres'), undefined)
  })
  it('cannot reach what lies in a folder closed to it', () => {
    const folder = mkdtempSync(join(tmpdir(), 'porthole-reach-')) // made with mode 0700
    mkdirSync(join(folder, 'open'))
    const other = { uid: 65_534, gid: 65_534 }
    assert.equal(canReach(join(folder, 'open/file'), other), false)
    assert.equal(canReach(folder, other), true)
    rmSync(folder, { recursive: true })
  })
})
