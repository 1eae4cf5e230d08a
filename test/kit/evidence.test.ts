import assert from 'node:assert/strict'
import { appendFileSync, rmSync, statSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { rememberAnswer, rememberEnv } from './credentials.ts'
import { openEvidence } from './evidence.ts'
import { checkEvidence, leastOfWhole } from './evidence-check.ts'
import { createEvidenceFolder, secretKinds } from './evidence-folder.ts'

const made = (t: TestContext, { whole = false } = {}) => {
  const folder = createEvidenceFolder(whole)
  t.after(() => rmSync(folder, { recursive: true }))
  return { folder, evidence: openEvidence(folder, '1', 'a-test') }
}

test('a secret in a log is told by file, line and name, and not repeated', t => {
  const { folder, evidence } = made(t)
  evidence.remember('request env', 'sk-of-a-model')
  const log = evidence.logFile('gateway')
  appendFileSync(log, 'fine\nwith sk-of-a-model\n')
  const { leaks, gaps, logs, lines, secrets } = checkEvidence(folder, '')
  assert.deepEqual(leaks, ['logs/a-test-1-0-gateway.log:2: request env of a-test: with [request env of a-test]'])
  assert.deepEqual([gaps, logs, lines, secrets], [[], 1, 2, 1])
})

test('logs of processes, in folders, and what the tests print, are searched too', t => {
  const { folder, evidence } = made(t)
  evidence.remember('cookie', 'a-cookie-of-mine')
  appendFileSync(`${evidence.logFolder('stack')}/agent.log`, 'a-cookie-of-mine\n')
  const { leaks } = checkEvidence(folder, 'ok\n\u001b[31ma-cookie-\u001b[0mof-mine')
  assert.deepEqual(
    leaks.map(leak => leak.split(': ')[0]),
    ['logs/a-test-1-0-stack/agent.log:1', 'output of the tests:2'],
  )
})

test('the evidence is for this user only', t => {
  const { folder, evidence } = made(t)
  evidence.remember('cookie', 'a-cookie-of-mine')
  for (const place of [folder, `${folder}/secrets`, `${folder}/logs`]) assert.equal(statSync(place).mode & 0o77, 0)
  assert.equal(statSync(`${folder}/secrets/1.jsonl`).mode & 0o77, 0)
})

test('what is too short to be a secret is not looked for', t => {
  const { folder, evidence } = made(t)
  evidence.remember('cookie', 'secret')
  appendFileSync(evidence.logFile('x'), 'no secret\n')
  assert.deepEqual(checkEvidence(folder, '').leaks, [])
})

test('logs without any secret to look for are a gap', t => {
  const { folder, evidence } = made(t)
  appendFileSync(evidence.logFile('x'), 'fine\n')
  assert.match(checkEvidence(folder, '').gaps.join(), /only 0 secrets/)
})

test('a whole run with few logs, few secrets or none of some kind has gaps', t => {
  const { folder, evidence } = made(t, { whole: true })
  const { gaps } = checkEvidence(folder, '')
  assert.deepEqual(
    gaps.slice(0, 3).map(gap => gap.split(',')[0]),
    ['only 0 logs', 'only 0 lines', 'only 0 secrets'],
  )
  assert.equal(gaps.length, 3 + secretKinds.length)

  for (const kind of secretKinds.slice(1))
    for (let n = 0; n < leastOfWhole.secrets; n += 1) evidence.remember(kind, `${kind} number ${n}`)
  for (let n = 0; n < leastOfWhole.logs; n += 1)
    appendFileSync(evidence.logFile('x'), 'fine\n'.repeat(leastOfWhole.lines))
  assert.deepEqual(checkEvidence(folder, '').gaps, [`no ${secretKinds[0]} was noted`])
})

test('tokens and tickets in an answer are noted wherever they stand, and the environment of a request', t => {
  const { folder, evidence } = made(t)
  rememberAnswer({ items: [{ token: 'token-one' }], url: 'http://x/view/y?path=z&ticket=ticket-one' }, evidence)
  rememberAnswer({ joinToken: 'jt_token-two', name: 'not-a-secret' }, evidence)
  rememberEnv({ env: { KEY: 'env-value-one' }, labels: { a: 'not-a-secret' } }, evidence)
  appendFileSync(evidence.logFile('x'), 'token-one\nticket-one\njt_token-two\nenv-value-one\nnot-a-secret\n')
  assert.deepEqual(
    checkEvidence(folder, '').leaks.map(leak => leak.split(': ')[1]),
    ['bearer token of a-test', 'ticket of a-test', 'join token of a-test', 'request env of a-test'],
  )
})
