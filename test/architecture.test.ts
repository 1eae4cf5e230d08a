import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { glob } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { violations } from './kit/architecture.ts'
import { factsOf } from './kit/imports.ts'

const root = join(import.meta.dirname, '..')

async function sourcesOfRepo(): Promise<Map<string, string>> {
  const sources = new Map<string, string>()
  const exclude = (path: string) => /(^|\/)(node_modules|dist|\.[^/]+)$/.test(path)
  for await (const path of glob('**/*.ts', { cwd: root, exclude })) {
    if (!/\.(test|d)\.ts$/.test(path)) sources.set(path, readFileSync(join(root, path), 'utf8'))
  }
  return sources
}

const told = (files: Record<string, string>) => violations(new Map(Object.entries(files)))

describe('the repo', () => {
  it('keeps its own rules', async () => {
    const sources = await sourcesOfRepo()
    assert.ok(sources.size > 30, `found only ${sources.size} files: the search is broken`)
    assert.deepEqual(violations(sources), [])
  })
})

describe('the rules', () => {
  it('let gateway import db and protocol, and agent import protocol', () => {
    const files = {
      'gateway/src/a.ts': "import { connect } from '@porthole/db'\nimport type { X } from '@porthole/protocol/relay'",
      'agent/src/a.ts': "export * from '@porthole/protocol'",
      'test/kit/a.ts': "import { startPostgres } from '../../infra/postgres/embedded.ts'",
    }
    assert.deepEqual(told(files), [])
  })

  for (const [path, source] of [
    ['agent/src/a.ts', "import { connect } from '@porthole/db'"],
    ['agent/src/a.ts', "import type { App } from '@porthole/gateway'"],
    ['gateway/src/a.ts', "export { start } from '@porthole/agent'"],
    ['db/src/a.ts', "const x = await import('@porthole/protocol')"],
    ['agent/protocol/a.ts', "import '@porthole/db/schema'"],
    ['gateway/src/a.ts', "import { start } from '../../agent/src/main.ts'"],
    ['agent/protocol/a.ts', "import { x } from '../src/start.ts'"],
  ] as const) {
    it(`refuse in ${path}: ${source}`, () => {
      assert.equal(told({ [path]: source }).length, 1)
    })
  }

  it('refuse to reach into an allowed package past its name', () => {
    assert.match(told({ 'gateway/src/a.ts': "import { x } from '../../db/src/x.ts'" }).join(), /import it by its name/)
  })

  for (const source of [
    'const port = process.env.PORT',
    "const port = process['env']['PORT']",
    "import { env } from 'node:process'",
    'const { PORT } = process?.env',
    `const text = \`\${process.env.PORT}\``,
  ]) {
    it(`refuse outside config.ts: ${source}`, () => {
      assert.match(told({ 'agent/src/start.ts': source }).join(), /reads process\.env/)
      assert.deepEqual(told({ 'agent/src/config.ts': source }), [])
    })
  }

  it('are not misled by comments, strings, templates and regular expressions', () => {
    const source = [
      "// import { x } from '@porthole/gateway', process.env",
      "/* import '@porthole/gateway' */ const a = \"import x from '@porthole/gateway'; process.env\"",
      `const b = \`process.env \${a} from "@porthole/gateway" it's \${\`\${a}\`} ' \``,
      "const c = /['\"`]/.test(a) ? 1 / 2 : /[/]'/g",
      "const d = config.process.environment, e = object.import('@porthole/gateway')",
    ].join('\n')
    assert.deepEqual(told({ 'agent/src/a.ts': source }), [])
  })

  it('refuse import cycles, and forgive circles of types', () => {
    const files = {
      'db/src/a.ts': "import { b } from './b.ts'",
      'db/src/b.ts': "export { c } from './c.ts'",
      'db/src/c.ts': "import { a } from './a.ts'",
    }
    assert.deepEqual(told(files), ['import cycle: db/src/a.ts → db/src/b.ts → db/src/c.ts → db/src/a.ts'])
    assert.deepEqual(told({ ...files, 'db/src/c.ts': "import type { A } from './a.ts'" }), [])
  })

  for (const name of ['utils', 'string-utils', 'test-helper', 'common', 'host-manager', 'user.service']) {
    it(`refuse a file named ${name}`, () => {
      assert.equal(told({ [`db/src/${name}.ts`]: '' }).length, 1)
    })
  }
})

describe('reading imports', () => {
  it('finds every form', () => {
    const source = `
      import a, { b as c, type D } from 'one'
      import * as e from 'two'
      import type F from 'three'
      export type { G } from 'four'
      export * as h from 'five'
      import 'six'
      const i = await import('seven')
      export const from = 'eight'
      export { i }
      const j = 'nine'
      export default j
      console.log(import.meta.url, 'ten')
      export function k() { return 'eleven' }
    `
    assert.deepEqual(
      factsOf(source).imports.map(({ specifier, typeOnly }) => `${specifier}${typeOnly ? ' (type)' : ''}`),
      ['one', 'two', 'three (type)', 'four (type)', 'five', 'six', 'seven'],
    )
  })
})
