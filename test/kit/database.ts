import { randomBytes } from 'node:crypto'
import postgres from 'postgres'
import { testSetting } from './config.ts'
import { watchCredentials } from './credentials.ts'
import { evidence } from './evidence.ts'

export type TestDatabase = { url: string; drop(): Promise<void> }

/** An empty database of its own on the tests' Postgres. `drop` cuts the sessions that still use it. */
export async function freshDatabase(serverUrl = testSetting('databaseUrl')): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString('hex')}`
  const url = new URL(serverUrl)
  evidence.remember('database password', decodeURIComponent(url.password))
  // A test with a database has a gateway, or a part of one, in its process.
  watchCredentials()
  url.pathname = `/${name}`
  await runOn(serverUrl, sql => sql.unsafe(`create database ${name}`))
  return {
    url: url.href,
    drop: () => runOn(serverUrl, sql => sql.unsafe(`drop database if exists ${name} with (force)`)),
  }
}

async function runOn(url: string, work: (sql: postgres.Sql) => Promise<unknown>): Promise<void> {
  const sql = postgres(url, { max: 1, connect_timeout: 10, onnotice: () => {} })
  try {
    await work(sql)
  } finally {
    await sql.end({ timeout: 5 })
  }
}
