import type { Scope } from '../tokens/caller.ts'
import type { Answer } from './expected.ts'
import type { Exception, Row } from './row.ts'

type More = Partial<Row>

/** A route of the API that takes a tenant's token. */
const api = (route: string, scope: Scope, answer: number | Answer, more: More = {}): Row => ({
  route,
  scope,
  answer: typeof answer === 'number' ? [answer] : answer,
  ...more,
})

const forOperators: Exception = {
  answer: [403, 'insufficient-scope'],
  why: 'a whole installation is for operators, and no token of one owner is an operator',
}
/** A route of the API that takes an operator's token. */
const operator = (route: string, scope: Scope, answer: Answer, more: More = {}): Row => ({
  route,
  scope,
  answer,
  ...more,
  except: {
    'another tenant': forOperators,
    'another owner': forOperators,
    "the owner's own token": forOperators,
    ...more.except,
  },
})

/** A route of the edge. */
const edge = (route: string, answer: number | Answer, more: More = {}): Row =>
  api(route, 'runtimes:connect', answer, more)

/** A WebSocket of the edge. */
const socket = (path: string, more: More = {}): Row => edge(`WS ${path}`, 101, more)

/** A route that answers everybody alike. */
const open = (route: string, status: number, why: string, more: More = {}): Row => ({
  route,
  answer: [status],
  open: { answer: [status], why },
  ...more,
})

const forPeople = (status: number): Exception => ({ answer: [status], why: 'the view is what it was given for' })
const forSockets: Answer = [426, 'upgrade-required']
const withCookie = { 'the cookie': forPeople(200) }
const ownList: Exception = { answer: [200], why: 'whoever may list gets a list of their own things, none of these' }
const ownLists = { 'another tenant': ownList, 'another owner': ownList }
const strangersOwner: Exception = { answer: [403, 'wrong-owner'], why: 'the owner is named by the request itself' }
const beyondToken: Exception = { answer: [403, 'insufficient-scope'], why: 'a token mints no more than it may itself' }
const wholeTenants: Exception = { answer: [403, 'insufficient-scope'], why: "the audit is the whole tenant's" }
const noQuery: Exception = { answer: [404, 'not-found'], why: 'this one address takes no query, whoever asks' }

const capacity = { memoryBytes: 0, cpuMillis: 0, slots: 0, gpus: 0 }
const heartbeat = { capacity, load: 0, engineVersion: '1', images: [], labels: {}, runtimes: [] }
const aPage = 'it holds no data: what it shows, it asks the API for with a token'

/** Every route of the app. */
export const routes: readonly Row[] = [
  // Before others make runtimes of their own for the same name.
  api('GET /v1/runtimes', 'runtimes:read', 200, { query: 'owner={owner}', except: ownLists }),
  api('POST /v1/runtimes', 'runtimes:write', 200, {
    body: { userId: '{owner}', wait: 0 },
    except: {
      'another tenant': { answer: [202], why: 'it gets a runtime of its own for that name', own: true },
      'another owner': strangersOwner,
    },
  }),
  api('GET /v1/runtimes', 'runtimes:read', 200, { except: ownLists }),
  api('GET /v1/runtimes/{runtime}', 'runtimes:read', 200),
  api('GET /v1/runtimes/{runtime}/connections', 'runtimes:read', 200),
  api('GET /v1/runtimes/{runtime}/events', 'runtimes:read', 200),
  api('GET /v1/runtimes/{runtime}/wait', 'runtimes:read', 200, { query: 'timeout=0' }),
  api('POST /v1/runtimes/{runtime}/start', 'runtimes:write', 200),
  api('POST /v1/runtimes/{runtime}/stop', 'runtimes:write', 200),
  api('POST /v1/runtimes/{runtime}/pause', 'runtimes:write', 200),
  api('POST /v1/runtimes/{runtime}/resume', 'runtimes:write', 200),
  api('POST /v1/runtimes/{runtime}/touch', 'runtimes:write', 200),
  api('POST /v1/runtimes/{runtime}/tickets', 'runtimes:connect', 201, { body: {} }),
  api('DELETE /v1/runtimes/{runtime}', 'runtimes:write', 204),
  api('DELETE /v1/runtimes/{runtime}', 'runtimes:write', 204, { query: 'profile=delete' }),

  api('POST /v1/tokens', 'tokens:write', 201, {
    body: { scopes: ['tokens:write'], tenant: '{tenant}', owner: '{owner}' },
    except: { 'another tenant': beyondToken, 'another owner': beyondToken },
  }),
  api('GET /v1/tokens', 'tokens:write', 200, { except: ownLists }),
  api('DELETE /v1/tokens/{token}', 'tokens:write', 204),
  api('DELETE /v1/tokens/{token}', 'tokens:write', 204, { query: 'tenant={tenant}' }),
  api('GET /v1/audit', 'tokens:write', 200, {
    query: 'subject={subject}',
    except: { 'another tenant': ownList, 'another owner': wholeTenants, "the owner's own token": wholeTenants },
  }),
  api('GET /v1/audit', 'tokens:write', 200, {
    query: 'tenant={tenant}',
    except: { 'another tenant': wholeTenants, 'another owner': wholeTenants, "the owner's own token": wholeTenants },
  }),

  operator('GET /v1/hosts', 'hosts:admin', [200]),
  operator('POST /v1/hosts/join-tokens', 'hosts:admin', [201]),
  operator('POST /v1/hosts/explain', 'hosts:admin', [200], { body: {} }),
  operator('GET /v1/hosts/{host}', 'hosts:admin', [200]),
  operator('POST /v1/hosts/{host}/drain', 'hosts:admin', [202], { body: {} }),
  operator('POST /v1/hosts/{host}/cordon', 'hosts:admin', [200]),
  operator('POST /v1/hosts/{host}/uncordon', 'hosts:admin', [200]),
  operator('DELETE /v1/hosts/{host}', 'hosts:admin', [204]),
  operator('DELETE /v1/hosts/{host}', 'hosts:admin', [204], { query: 'force=true' }),
  open('POST /v1/hosts/join', 200, 'a machine that joins has no token yet but the join token in its body', {
    body: { token: '{join}', name: 'new', url: '{agent}', publicKey: { kty: 'OKP', crv: 'Ed25519', x: '{agentKey}' } },
    open: { answer: [403, 'join-refused'], why: 'their join token is none, whatever else they show' },
  }),
  open('POST /v1/hosts/{host}/heartbeat', 200, 'a host signs with its own key', {
    credential: 'host',
    body: heartbeat,
    open: { answer: [401, 'unauthorized'], why: 'no token of ours is a host’s' },
  }),

  operator('POST /v1/tenants', 'tenants:admin', [409, 'tenant-exists'], { body: { slug: '{tenant}' } }),
  operator('GET /v1/tenants', 'tenants:admin', [200]),
  operator('GET /v1/tenants/{tenant}', 'tenants:admin', [200]),
  operator('PATCH /v1/tenants/{tenant}', 'tenants:admin', [200], { body: { suspended: false } }),
  operator('POST /v1/tenants/{tenant}/issuers', 'tenants:admin', [409, 'issuer-taken'], {
    body: {
      issuer: 'urn:{issuer}',
      jwksUrl: 'http://127.0.0.1:1/',
      audience: 'a',
      claims: { scopes: ['runtimes:read'] },
    },
  }),
  operator('GET /v1/tenants/{tenant}/issuers', 'tenants:admin', [200]),
  operator('DELETE /v1/tenants/{tenant}/issuers/{issuer}', 'tenants:admin', [204]),

  edge('GET /view/{hash}/*', 200, { rest: 'vnc.html', except: { ...withCookie, 'the ticket': forPeople(302) } }),
  edge('GET /view/{hash}/*', 200, {
    rest: 'vnc.html',
    headers: { accept: 'text/html' },
    page: true,
    except: { ...withCookie, 'the ticket': forPeople(302) },
  }),
  edge('GET /view/{hash}/*', 200, { rest: 'core/rfb.js', except: withCookie }),
  edge('GET /view/{hash}/*', forSockets, {
    rest: 'websockify',
    except: { 'the cookie': { answer: forSockets, why: 'it may come in, as a WebSocket' } },
  }),
  edge('POST /view/{hash}/session', 204),
  edge('POST /view/{hash}/start', 204, {
    except: {
      'the cookie': { answer: [403, 'wrong-origin'], why: 'its browser says whose page asks, and this one does not' },
    },
  }),
  edge('GET /vnc.html', 302, {
    at: 'shared',
    except: {
      'another tenant': { answer: [302], why: 'it names the view that the caller’s own tenant shares, or would' },
      'another owner': { answer: [302], why: 'it only says where; the view itself refuses' },
    },
  }),
  edge('POST /session', 204, { at: 'shared' }),
  edge('GET /cdp/{hash}/json', 200),
  edge('GET /cdp/{hash}/json/*', 200, { rest: 'version' }),
  edge('PUT /cdp/{hash}/json/*', 200, { rest: 'new' }),
  edge('ALL /cdp/{hash}/*', forSockets, { method: 'GET', rest: 'devtools/browser/1' }),
  edge('ALL /cdp/{hash}/*', forSockets, { method: 'POST', rest: 'json/version' }),
  edge('ALL /rpc/{hash}/*', 200, { method: 'POST', rest: 'run', body: { actions: [] } }),
  edge('ALL /rpc/{hash}/*', 200, { method: 'GET', rest: 'health' }),
  edge('ALL /port/{hash}/*', 200, { method: 'GET', rest: 'app/' }),
  edge('ALL /port/{hash}/*', 308, { method: 'GET', rest: 'app' }),

  open('GET /healthz', 200, 'load balancers ask; it says that the process lives'),
  open('GET /readyz', 200, 'load balancers ask; it says whether the database answers'),
  open('GET /.well-known/jwks.json', 200, 'agents check our signatures with it; public keys only'),
  open('GET /openapi.json', 200, 'it describes the API and nothing in it'),
  open('GET /docs', 302, 'it leads to the page'),
  open('GET /docs/*', 200, aPage, { rest: '' }),
  open('GET /docs/ui/*', 200, aPage, { rest: 'swagger-ui.css' }),
  open('GET /console', 302, 'it leads to the page'),
  open('GET /console/*', 200, aPage, { rest: '' }),
  open('GET /assets/*', 200, 'scripts and styles of pages', { rest: 'signin.js' }),
]

/** Every WebSocket of the edge. */
export const upgrades: readonly Row[] = [
  socket('/view/{hash}/websockify', { except: { 'the cookie': forPeople(101) } }),
  socket('/cdp/{hash}'),
  socket('/cdp/{hash}/'),
  socket('/cdp/{hash}/devtools/*', { rest: 'browser/1' }),
  socket('/rpc/{hash}/*', { rest: 'socket' }),
  socket('/port/{hash}/*', { rest: 'app/socket' }),
  socket('/websockify', {
    at: 'shared',
    except: {
      'a ticket that was used': noQuery,
      "another runtime's ticket": noQuery,
      "a suspended tenant's ticket": noQuery,
      "a revoked token's ticket": noQuery,
      'the ticket': noQuery,
    },
  }),
]

/** What `app.use` has registered: it answers nothing by itself. */
export const middlewares: readonly string[] = ['ALL /*', 'ALL /v1/*']
