import assert from 'node:assert/strict'
import test from 'node:test'
import { chromiumArguments, parseAnnouncement } from './chromium.ts'
import { parseConfig } from './config.ts'

test('Chromium’s own announcement is read, and nothing that looks like it', () => {
  assert.deepEqual(parseAnnouncement('DevTools listening on ws://127.0.0.1:40001/devtools/browser/a-b'), {
    port: 40001,
    path: '/devtools/browser/a-b',
  })
  assert.equal(
    parseAnnouncement('"DevTools listening on ws://127.0.0.1:1/devtools/browser/a", source: https://a.test'),
    undefined,
  )
  assert.equal(parseAnnouncement('DevTools listening on ws://0.0.0.0:1/devtools/browser/a'), undefined)
})

test('the sandbox stays on, DevTools stay closed to pages, and features are disabled in one flag', () => {
  for (const display of [':0', undefined]) {
    const args = chromiumArguments(parseConfig({}), { display, restores: false })
    assert.ok(!args.some(arg => /sandbox|remote-allow-origins|remote-debugging-address/.test(arg)))
    assert.equal(args.filter(arg => arg.startsWith('--disable-features=')).length, 1)
    assert.equal(args.includes('--headless=new'), display === undefined)
  }
})

test('an empty page is opened where no pages of a last session are', () => {
  const opens = (restores: boolean) => chromiumArguments(parseConfig({}), { display: ':0', restores }).at(-1)
  assert.equal(opens(false), 'about:blank')
  assert.match(opens(true) ?? '', /^--/)
})
