import { glob } from 'node:fs/promises'

/** Test files by their path from the repo's folder, sorted. */
export type TestFiles = { unit: string[]; real: string[] }

/** Whether a test needs Docker, Postgres or Chromium: it says so in its name, or stands among the tests of the whole. */
export const needsWorld = (path: string): boolean => /\.int\.test\.ts$/.test(path) || /^test\/(?!kit\/).+\//.test(path)

/** The tests of the repo; with words, those whose path holds one of them (or fits it, when it is a glob). */
export async function findTests(root: string, words: readonly string[]): Promise<TestFiles> {
  const exclude = (path: string) => /(^|\/)(node_modules|dist|\.[^/]+)$/.test(path)
  const all = await Array.fromAsync(glob('**/*.test.ts', { cwd: root, exclude }))
  const matching = new Set(
    await Array.fromAsync(
      glob(
        words.filter(word => word.includes('*')),
        { cwd: root, exclude },
      ),
    ),
  )
  const wanted = (path: string) =>
    words.length === 0 || matching.has(path) || words.some(word => !word.includes('*') && path.includes(word))
  const files = all.filter(wanted).sort()
  return { unit: files.filter(path => !needsWorld(path)), real: files.filter(needsWorld) }
}
