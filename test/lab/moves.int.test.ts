import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, describe, it } from 'node:test'
import { connect, type Database, profiles, volumeRemovals } from '@porthole/db'
import { runIn } from '../../agent/src/testing/inside.ts'
import { forcedEnd } from '../../infra/dev/child.ts'
import { eventually } from '../kit/eventually.ts'
import type { Runtime } from '../kit/runtime.ts'
import { type Lab, type LabGateway, type LabHost, labTimeout, noLab, startLab } from './kit.ts'
import { bytesOf, digestOfFolder, folderOfVolume, volumesOn } from './volume.ts'

/** Long enough on its way for somebody to be killed meanwhile. */
const mebibytes = 200
const blobBytes = mebibytes * 2 ** 20
const owner = 'wanderer'
/** Milliseconds: the lease of who is killed (30 s) runs out, or a failed move is tried again (30 s), and the copy after that. */
const movedWithin = 80_000

describe('the move of a profile, in the middle of which somebody is killed,', {
  skip: noLab(),
  concurrency: false,
}, () => {
  let lab: Lab
  let database: Database
  let runtime: Runtime
  let volume: string
  /** Where the profile is, and where it goes next. */
  let source: LabHost
  let target: LabHost
  /** One that answers: whoever is killed is not asked. */
  let door: LabGateway
  /** Gateways that were killed and are not back yet. */
  const away = new Set<LabGateway>()
  /** Moves so far: what the marker in the profile says. */
  let made = 0

  before(
    async () => {
      // Two hosts: there is one way to go.
      lab = await startLab({ hosts: 2 })
      database = connect(lab.databaseUrl, { max: 2 })
      const [one, two] = lab.hosts
      const [first] = lab.gateways
      assert(one && two && first)
      source = one
      target = two
      door = first
      await operator('POST', `/v1/hosts/${target.id}/cordon`)
      runtime = await ensure()
      assert.equal(runtime.host, source.id)
      volume = `${lab.names.volumePrefix}${runtime.ownerHash}`
      await inside(`head -c ${blobBytes} /dev/urandom > /data/blob`)
      await inside('mkdir -m 700 /data/kept && ln -s ../blob /data/kept/link && echo 0 > /data/marker')
    },
    { timeout: labTimeout },
  )
  after(
    async () => {
      await database?.close()
      await lab?.close()
    },
    { timeout: 120_000 },
  )

  const operator = async <T = unknown>(method: string, path: string, body?: unknown): Promise<T> => {
    const answer = await lab.call(method, path, body, { token: lab.adminToken, gatewayUrl: door.url })
    const text = await answer.text()
    assert(answer.ok, `${method} ${path}: ${answer.status} ${text}`)
    return JSON.parse(text) as T
  }
  const ensure = async () => {
    const answer = await lab.call('POST', '/v1/runtimes', { userId: owner, wait: 60 }, { gatewayUrl: door.url })
    const text = await answer.text()
    assert(answer.ok, `${answer.status} ${text}`)
    return JSON.parse(text) as Runtime
  }
  /** What a command says in the owner's container, where the profile is. */
  const inside = async (command: string) => {
    const name = `${lab.names.containerPrefix}${runtime.ownerHash}`
    const { output, code } = await runIn(source.docker, name, ['sh', '-c', command])
    assert.equal(code, 0, output)
    return output.trim()
  }
  const stopped = async () => {
    const path = `/v1/runtimes/${runtime.id}`
    const answer = await lab.call('POST', `${path}/stop`, undefined, { gatewayUrl: door.url })
    assert(answer.ok, await answer.text())
    const waited = await lab.call('GET', `${path}/wait?state=stopped&timeout=30`, undefined, { gatewayUrl: door.url })
    assert.equal(waited.status, 200, await waited.text())
  }
  const profile = async () => (await database.db.select().from(profiles))[0] ?? assert.fail('the profile is gone')
  const digestOn = async (host: LabHost) =>
    digestOfFolder((await folderOfVolume(host, volume)) ?? assert.fail(`no volume on ${host.name}`))

  /** Drains the profile's host, and resolves while the copy is being written. */
  const midCopy = async () => {
    await operator('POST', `/v1/hosts/${target.id}/uncordon`)
    await operator('POST', `/v1/hosts/${source.id}/drain`, { deadline: 0 })
    await eventually(
      async () => {
        const bytes = await bytesOf(target, volume, 'blob')
        assert(bytes > blobBytes / 20, `${bytes} bytes have come`)
        assert(bytes < blobBytes, 'the copy was over before anybody was killed')
      },
      30_000,
      20,
    )
  }

  /** The profile is whole at the target, and nowhere else; its owner goes on there. */
  const arrived = async (digest: string) => {
    await eventually(async () => {
      const { hostId, movingTo } = await profile()
      assert.deepEqual([hostId, movingTo], [target.id, null])
      assert.deepEqual(await database.db.select().from(volumeRemovals), [])
      assert.deepEqual([await volumesOn(source), await volumesOn(target)], [[], [volume]])
    }, movedWithin)
    assert.equal(await digestOn(target), digest)
    for (const { docker, name } of [source, target])
      assert.deepEqual(await docker.listContainers({ all: true }), [], `containers are left on ${name}`)
    const { left } = await operator<{ left: object }>('GET', `/v1/hosts/${source.id}`)
    assert.deepEqual(left, { runtimes: 0, profiles: 0 })

    const again = await ensure()
    assert.deepEqual([again.id, again.host], [runtime.id, target.id])
    ;[source, target] = [target, source]
    assert.equal(await inside('cat /data/marker'), String(made))
    made += 1
    await inside(`echo ${made} > /data/marker`)
  }

  /** How many bytes a gateway has read: what it copies goes through it. */
  const readBy = async (gateway: LabGateway) =>
    Number(/^rchar: (\d+)$/m.exec(await readFile(`/proc/${gateway.process().pid}/io`, 'utf8'))?.[1])

  /**
   * One move, in the middle of which `strike` kills somebody; what that gives, if anything, brings them back. It is told
   * which gateway moves. Fails when the move was over by then: nothing would be shown.
   */
  const moveThrough = async (strike: (mover: LabGateway) => Promise<(() => Promise<unknown>) | undefined>) => {
    await stopped()
    const digest = await digestOn(source)
    const gateways = lab.gateways.filter(gateway => !away.has(gateway))
    const before = await Promise.all(gateways.map(readBy))
    await midCopy()
    const reads = await Promise.all(gateways.map(readBy))
    const read = reads.map((bytes, n) => bytes - (before[n] ?? 0))
    const mover = gateways[read.indexOf(Math.max(...read))]
    assert(mover && Math.max(...read) > blobBytes / 20, `gateways have read ${read}`)
    const mend = await strike(mover)
    assert.equal((await profile()).hostId, source.id, 'the move was over before anybody was killed')
    await mend?.()
    await arrived(digest)
  }

  it('is finished by the other gateway when the one that moves it is killed', () =>
    moveThrough(async mover => {
      door = lab.gateways.find(gateway => gateway !== mover) ?? assert.fail()
      away.add(mover)
      await mover.process().stop(forcedEnd)
      return undefined
    }))

  it('begins anew when the agent that sends it is killed', () =>
    moveThrough(async () => {
      await source.agent().stop(forcedEnd)
      return async () => {
        await source.restartAgent()
        // The one that failed tries again after half a minute; one that has not, at once.
        for (const gateway of away) await gateway.restart()
        away.clear()
      }
    }))

  it('begins anew when the agent that receives it is killed, and nothing is left of the first try', () =>
    moveThrough(async () => {
      await target.agent().stop(forcedEnd)
      return () => target.restartAgent()
    }))
})
