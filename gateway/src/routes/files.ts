import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { extname, join, relative, sep } from 'node:path'

/** A file of ours, read once at start: what is not in the map does not exist, whatever the path looks like. */
export type StaticFile = { body: Uint8Array<ArrayBuffer>; type: string; etag: string }

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.txt': 'text/plain; charset=utf-8',
}

const etagOf = (body: Uint8Array) => `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`

/** Every file below `folder` that a page may load, by its path with forward slashes. Tests and types stay out. */
export const readFiles = (folder: string): ReadonlyMap<string, StaticFile> => {
  const files = new Map<string, StaticFile>()
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    const type = types[extname(entry.name)]
    if (!entry.isFile() || !type) continue
    const body = new Uint8Array(readFileSync(path))
    files.set(relative(folder, path).split(sep).join('/'), { body, type, etag: etagOf(body) })
  }
  return files
}

/** Answers with a file, or 304 to somebody who has it. */
export const sendFile = (
  file: StaticFile,
  ifNoneMatch: string | undefined,
  headers: Record<string, string>,
): Response => {
  const common = { etag: file.etag, 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff', ...headers }
  if (ifNoneMatch === file.etag) return new Response(null, { status: 304, headers: common })
  return new Response(file.body, { headers: { ...common, 'content-type': file.type } })
}

/** For pages of our own: nothing inline, nothing from elsewhere, in no foreign frame. */
export const pageHeaders = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data: blob:",
    "font-src 'self'",
    "connect-src 'self'",
    "frame-ancestors 'self'",
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; '),
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=()',
}
