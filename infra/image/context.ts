import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Pack, pack } from 'tar-stream'
import { type EngineArchitecture, nodePackage } from './node-binary.ts'

/** A file of the build context with its content. */
type ContextFile = { name: string; mode: number; content: Buffer }

/** Everything that decides what the image is made of. */
export type ContextInputs = {
  files: ContextFile[]
  /** Packages copied from this repository's node_modules, by folder. */
  modules: { id: string; name: string; folder: string }[]
  architecture: EngineArchitecture
  /** SHA-256 over all inputs, in hex. */
  hash: string
}

const runtimeDir = join(import.meta.dirname, '..', 'runtime')
const moduleNames = ['ws', 'zod']

/** Neither tests nor what only tests need go into the image. */
const isShipped = (name: string): boolean => !/\.test\.ts$|(^|\/)testing\//.test(name)

const readRuntime = async (): Promise<ContextFile[]> => {
  const entries = await readdir(runtimeDir, { recursive: true, withFileTypes: true })
  const names = entries
    .filter(entry => entry.isFile())
    .map(entry =>
      join(entry.parentPath, entry.name)
        .slice(runtimeDir.length + 1)
        .replaceAll('\\', '/'),
    )
    .filter(isShipped)
    .sort()
  return Promise.all(
    names.map(async name => ({
      // The Dockerfile is the context's; all else is the program's.
      name: name === 'Dockerfile' ? name : `app/${name}`,
      mode: 0o644,
      content: await readFile(join(runtimeDir, name)),
    })),
  )
}

const findModules = (): Promise<ContextInputs['modules']> =>
  Promise.all(
    moduleNames.map(async name => {
      const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`)
      const { version } = JSON.parse(await readFile(manifest, 'utf8'))
      return { id: `${name}@${version}`, name, folder: dirname(manifest) }
    }),
  )

/** Reads the inputs and hashes them; packages and Node count by name and version, which registries never change. */
export const readInputs = async (architecture: EngineArchitecture): Promise<ContextInputs> => {
  const [files, modules] = await Promise.all([readRuntime(), findModules()])
  const hash = createHash('sha256')
  for (const { name, mode, content } of files) {
    hash.update(`${name}\n${mode}\n${content.length}\n`).update(content)
  }
  for (const { id } of modules) hash.update(`${id}\n`)
  hash.update(nodePackage(architecture))
  return { files, modules, architecture, hash: hash.digest('hex') }
}

// One time for all entries: the engine's layer cache compares contents, and a date would only differ.
const mtime = new Date(0)

const addFile = async (tar: Pack, name: string, path: string, mode: number): Promise<void> => {
  const { size } = await stat(path)
  await pipeline(createReadStream(path), tar.entry({ name, mode, size, mtime }))
}

/** Only what Node loads: typings, sources and maps are two thirds of a package. */
const isLoaded = (name: string): boolean => /\.(js|mjs|json)$/.test(name) && !/(^|\/)src\//.test(name)

const addModule = async (tar: Pack, { name, folder }: { name: string; folder: string }): Promise<void> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name)
    const inside = path.slice(folder.length + 1).replaceAll('\\', '/')
    if (entry.isFile() && isLoaded(inside)) await addFile(tar, `node_modules/${name}/${inside}`, path, 0o644)
  }
}

/** The build context as a tar stream. A file that can't be read ends it with an error. */
export const packContext = (inputs: ContextInputs, nodeBinary: string): Readable => {
  const tar = pack()
  const fill = async () => {
    for (const { name, mode, content } of inputs.files) tar.entry({ name, mode, mtime }, content)
    for (const module of inputs.modules) await addModule(tar, module)
    // To be run and not read: see the Dockerfile.
    await addFile(tar, 'node/node', nodeBinary, 0o711)
    tar.finalize()
  }
  fill().catch(error => tar.destroy(error instanceof Error ? error : new Error(String(error))))
  return Readable.from(tar)
}
