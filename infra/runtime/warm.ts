import { readdir } from 'node:fs/promises'

// Run once while the image is built, by `main.ts warm`: loads every other module, so that Node's compile cache
// (NODE_COMPILE_CACHE) holds them stripped of their types and compiled. Without it a start spends 0.3 s on that, and a third of
// that for a single module that is missing there: stripping types is itself a module that has to be loaded.

// Both are under way already, and would wait for themselves.
const running = new Set(['main.ts', 'warm.ts'])
const names = await readdir(import.meta.dirname)
await Promise.all(names.filter(name => name.endsWith('.ts') && !running.has(name)).map(name => import(`./${name}`)))
