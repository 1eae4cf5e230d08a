import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { chromium } from 'playwright-core'
import { type Agent, startAgent } from '../../infra/dev/stack.ts'
import { inheritedEnv, testSetting } from '../kit/config.ts'
import { eventually } from '../kit/eventually.ts'
import { authorization, ensure, type Runtime, remove } from '../kit/runtime.ts'
import { startStack, type TestStack } from '../kit/stack.ts'

/** Two agents on one engine, told apart by their prefixes, are two hosts to the gateway. */
describe('a host is drained', { concurrency: false }, () => {
  let stack: TestStack
  let second: Agent
  let dir: string
  let prefix: string

  before(async () => {
    stack = await startStack()
    dir = mkdtempSync(join(tmpdir(), 'porthole-drain-'))
    prefix = `${stack.names.containerPrefix}two-`
    const minted = await stack.call('POST', '/v1/hosts/join-tokens', undefined, stack.adminToken)
    const { token } = (await minted.json()) as { token: string }
    second = await startAgent({
      root: join(import.meta.dirname, '../..'),
      logDir: dir,
      env: inheritedEnv(),
      gatewayUrl: stack.gatewayUrl,
      joinToken: token,
      dataDir: join(dir, 'agent'),
      hostName: 'second',
      dockerHost: testSetting('dockerHost'),
      image: testSetting('image'),
      port: 0,
      containerPrefix: prefix,
      volumePrefix: `${stack.names.volumePrefix}two-`,
      network: stack.names.network,
    })
  })
  after(async () => {
    await second.stop()
    rmSync(dir, { recursive: true, force: true })
    await stack.close()
  })

  const url = 'https://site.example/'
  const withBrowser = async <T>(
    runtime: Runtime,
    use: (browser: Awaited<ReturnType<typeof chromium.connectOverCDP>>) => Promise<T>,
  ) => {
    const browser = await chromium.connectOverCDP(runtime.urls.cdp, { headers: authorization(stack) })
    try {
      return await use(browser)
    } finally {
      await browser.close()
    }
  }
  const admin = async (method: string, path: string, body?: unknown) => {
    const answer = await stack.call(method, path, body, stack.adminToken)
    const text = await answer.text()
    return { status: answer.status, body: text ? JSON.parse(text) : undefined }
  }
  const volumes = async () =>
    ((await stack.docker.listVolumes({ filters: { name: [stack.names.volumePrefix] } })).Volumes ?? []).map(
      ({ Name }) => Name,
    )

  it('its runtimes are stopped in time, and their owners find the same cookies on the other host', async () => {
    // The first host is the only one that may take it.
    await admin('POST', `/v1/hosts/${second.hostId}/cordon`)
    const runtime = await ensure(stack, { userId: 'wanderer' })
    assert.equal(runtime.host, stack.hostId)
    const expires = Date.now() / 1000 + 86_400
    await withBrowser(runtime, async browser =>
      browser.contexts()[0]?.addCookies([{ name: 'login', value: 'kept', url, expires }]),
    )
    await admin('POST', `/v1/hosts/${second.hostId}/uncordon`)

    const asked = await admin('POST', `/v1/hosts/${stack.hostId}/drain`, { deadline: 0 })
    assert.deepEqual([asked.status, asked.body.schedulable], [202, false])
    await eventually(async () => {
      const { body } = await admin('GET', `/v1/hosts/${stack.hostId}`)
      assert.equal(body.left.profiles, 0)
    }, 60_000)

    const again = await ensure(stack, { userId: 'wanderer' })
    assert.deepEqual([again.id, again.host], [runtime.id, second.hostId])
    const cookies = await withBrowser(again, async browser => browser.contexts()[0]?.cookies(url))
    assert.deepEqual(
      cookies?.map(({ value }) => value),
      ['kept'],
    )
    await eventually(async () => {
      const here = `${stack.names.volumePrefix}${runtime.ownerHash}`
      assert(!(await volumes()).includes(here), 'the volume is still on the host that was drained')
    }, 30_000)
    await remove(stack, again.id, '?profile=delete')
    assert.deepEqual(await volumes(), [])
    assert.equal((await admin('DELETE', `/v1/hosts/${stack.hostId}`)).status, 204)
  })
})
