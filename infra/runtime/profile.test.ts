import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { prepareProfile, profileDir } from './profile.ts'

const dataDir = await mkdtemp(join(tmpdir(), 'porthole-profile-'))
after(() => rm(dataDir, { recursive: true, force: true }))

const place = (name: string) => ({ dataDir: join(dataDir, name) })
const preferencesOf = async (config: { dataDir: string }) =>
  JSON.parse(await readFile(`${profileDir(config)}/Default/Preferences`, 'utf8'))
const withPreferences = async (name: string, text: string) => {
  const config = place(name)
  await mkdir(`${profileDir(config)}/Default`, { recursive: true })
  await writeFile(`${profileDir(config)}/Default/Preferences`, text)
  return config
}

test('a fresh profile gets its first preferences, one that is there keeps its own', async () => {
  const config = place('fresh')
  assert.equal(await prepareProfile(config, { restore: true }), false)
  assert.equal((await preferencesOf(config)).browser.custom_chrome_frame, false)
  const own = await withPreferences('own', '{"profile":{"exit_type":"Normal"}}')
  assert.equal(await prepareProfile(own, { restore: true }), true)
  assert.deepEqual(await preferencesOf(own), { profile: { exit_type: 'Normal' } })
})

test('pages of the last session stay, and go where they are what kills Chromium; those closed before stay even then', async () => {
  const config = await withPreferences('crashing', '{}')
  const [sessions, encrypted] = ['Sessions', 'Sessions_Encrypted'].map(name => `${profileDir(config)}/Default/${name}`)
  assert(sessions && encrypted)
  for (const folder of [sessions, encrypted]) await mkdir(folder)
  await writeFile(`${encrypted}/Session_1`, 'pages')
  for (const name of ['Session_1', 'Session_2', 'Tabs_1']) await writeFile(`${sessions}/${name}`, 'pages')
  assert.equal(await prepareProfile(config, { restore: true }), true)
  assert.equal((await readdir(sessions)).length, 3)
  assert.equal(await prepareProfile(config, { restore: false }), false)
  assert.deepEqual([await readdir(sessions), await readdir(encrypted)], [['Tabs_1'], []])
  await rm(sessions, { recursive: true })
  assert.equal(await prepareProfile(config, { restore: false }), false)
})

test('locks of a Chromium that was killed go, whatever they point to', async () => {
  const config = await withPreferences('locked', '{}')
  await symlink('another-host-42', `${profileDir(config)}/SingletonLock`)
  await prepareProfile(config, { restore: true })
  assert.deepEqual(await readdir(profileDir(config)), ['Default'])
})
