import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Context } from 'hono'
import { pageHeaders, readFiles, sendFile } from './files.ts'
import { type AppEnv, createRouter } from './openapi.ts'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const packageFolder = (name: string) => {
  const entry = createRequire(import.meta.url).resolve(`${name}/package.json`)
  return dirname(entry)
}

/** Pages that hold no data: the console asks the API with the token a person gives it. */
export const pageRoutes = () => {
  const app = createRouter()
  const assets = readFiles(here('../../public/assets'))
  const console = readFiles(here('../../../console'))
  const docs = readFiles(here('../../public/docs'))
  const swagger = readFiles(packageFolder('swagger-ui-dist'))

  const serve =
    (files: ReturnType<typeof readFiles>, prefix: string, index: string, headers = pageHeaders) =>
    (c: Context<AppEnv>) => {
      const name = c.req.path.slice(prefix.length) || index
      const file = files.get(name)
      return file ? sendFile(file, c.req.header('if-none-match'), headers) : c.notFound()
    }

  app.get('/assets/*', serve(assets, '/assets/', ''))
  app.get('/console', c => c.redirect('console/', 302))
  app.get('/console/*', serve(console, '/console/', 'index.html'))
  app.get('/docs', c => c.redirect('docs/', 302))
  // Swagger UI sets styles from its script.
  const docsHeaders = {
    ...pageHeaders,
    'content-security-policy': pageHeaders['content-security-policy'].replace(
      "style-src 'self'",
      "style-src 'self' 'unsafe-inline'",
    ),
  }
  app.get('/docs/ui/*', serve(swagger, '/docs/ui/', '', docsHeaders))
  app.get('/docs/*', serve(docs, '/docs/', 'index.html', docsHeaders))
  return app
}
