import { basename, dirname, join } from 'node:path'
import { factsOf, type SourceFacts } from './imports.ts'

/** Source files by their path from the repo's folder. */
export type Sources = ReadonlyMap<string, string>

/** Which sibling each package may import. What is not named here may import none. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  gateway: ['db', 'agent/protocol'],
  agent: ['agent/protocol'],
  db: [],
  'agent/protocol': [],
  infra: [],
  test: ['gateway', 'agent', 'agent/protocol', 'db', 'infra'],
}

const packageNames: Readonly<Record<string, string>> = {
  '@porthole/gateway': 'gateway',
  '@porthole/agent': 'agent',
  '@porthole/protocol': 'agent/protocol',
  '@porthole/db': 'db',
  '@porthole/infra': 'infra',
  '@porthole/test': 'test',
}

const emptyNames = /(^|[-_.])(utils?|helpers?|common|managers?|services?)([-_.]|$)/i

/** What breaks the rules of DESIGN section 1, a sentence each; tests may do as they like. */
export function violations(sources: Sources): string[] {
  const facts = new Map([...sources].map(([path, text]) => [path, factsOf(text)] as const))
  return [...facts]
    .flatMap(([path, fact]) => [...namesIn(path), ...environmentIn(path, fact), ...importsIn(path, fact)])
    .concat(cyclesIn(facts))
}

/** The package that a file belongs to. */
export const packageOf = (path: string): string =>
  path.startsWith('agent/protocol/') ? 'agent/protocol' : (path.split('/', 1)[0] ?? '')

const namesIn = (path: string) =>
  emptyNames.test(basename(path, '.ts')) ? [`${path}: its name says nothing of what it is for`] : []

const environmentIn = (path: string, { readsEnvironment }: SourceFacts) =>
  readsEnvironment && basename(path) !== 'config.ts'
    ? [`${path}: reads process.env, which only a config.ts does; take the value as a parameter`]
    : []

function importsIn(path: string, { imports }: SourceFacts): string[] {
  const own = packageOf(path)
  const allowed = mayImport[own] ?? []
  return imports.flatMap(({ specifier }) => {
    const target = targetPackage(path, specifier)
    if (target === undefined || target === own) return []
    if (!allowed.includes(target)) return [`${path}: ${own} must not import ${target} (${specifier})`]
    // Tests of the whole may look into every room.
    if (specifier.startsWith('.') && own !== 'test')
      return [`${path}: ${specifier} reaches into ${target}; import it by its name`]
    return []
  })
}

function targetPackage(path: string, specifier: string): string | undefined {
  if (specifier.startsWith('.')) return packageOf(join(dirname(path), specifier))
  const name = specifier.split('/').slice(0, 2).join('/')
  return packageNames[name]
}

/** Files of one package that import each other in a circle; imports of types alone are gone at run time and do not count. */
function cyclesIn(facts: ReadonlyMap<string, SourceFacts>): string[] {
  const seen = new Set<string>()
  const found: string[] = []
  const visit = (path: string, above: readonly string[]) => {
    const start = above.indexOf(path)
    if (start >= 0) {
      found.push(`import cycle: ${[...above.slice(start), path].join(' → ')}`)
      return
    }
    if (seen.has(path)) return
    seen.add(path)
    for (const { specifier, typeOnly } of facts.get(path)?.imports ?? []) {
      const target = join(dirname(path), specifier)
      if (!typeOnly && specifier.startsWith('.') && facts.has(target)) visit(target, [...above, path])
    }
  }
  for (const path of facts.keys()) visit(path, [])
  return found
}
