import { parseArgs } from 'node:util'
import { addJoinToken, addToken, connect, migrate, putTenant, readClock } from '@porthole/db'
import { ulid } from 'ulid'
import { type Config, ConfigError } from './config.ts'
import { modes } from './identity/owner.ts'
import { mintToken, type Scope, scopes, tenantScopes, tenantSlug } from './tokens/caller.ts'
import { createIssuer } from './tokens/issuer.ts'
import { randomToken } from './tokens/random.ts'
import { createSeal } from './tokens/seal.ts'

const days = (n: number) => n * 86_400
const lifetimeSeconds = days(30)
const joinSeconds = 300

/** The first credentials of an installation. Whoever has PORTHOLE_SECRET and the database may make them. */
export type Credentials = { adminToken: string; tenantToken: string; joinToken: string; viewToken?: string }

/**
 * Creates a tenant where there is none, and prints an operator's token, the tenant's, a join token, and, for an owner, a
 * token that opens this owner's runtime and nothing else.
 *
 * @throws ConfigError for options that are off
 */
export const bootstrap = async (config: Config, args: string[]): Promise<Credentials> => {
  const { values } = parseArgs({
    args,
    options: {
      tenant: { type: 'string', default: 'default' },
      mode: { type: 'string', default: 'shared' },
      owner: { type: 'string' },
    },
  })
  const { mode, owner } = values
  const slug = tenantSlug.safeParse(values.tenant)
  if (!slug.success) throw new ConfigError('--tenant takes lower-case letters, digits and hyphens')
  if (!modes.some(known => known === mode)) throw new ConfigError(`--mode takes ${modes.join(', ')}`)
  await migrate(config.databaseUrl)
  const database = connect(config.databaseUrl, { max: 2 })
  try {
    await putTenant(database.db, { slug: slug.data, mode })
    // By the database's clock, as gateways judge what is minted here.
    const aheadMs = (await readClock(database.db)) - Date.now()
    const issuer = await createIssuer(database.db, createSeal(config.secret), () => Date.now() + aheadMs)
    const mint = async (subject: string, allowed: readonly Scope[], forOwner?: string) => {
      const jti = ulid()
      const owner = forOwner ?? null
      await addToken(
        database.db,
        { id: jti, tenant: slug.data, subject, scopes: [...allowed], owner, mode: owner && 'docker-per-principal' },
        lifetimeSeconds,
      )
      return mintToken(
        issuer,
        {
          tenant: slug.data,
          subject,
          scopes: allowed,
          jti,
          owner: forOwner === undefined ? undefined : { mode: 'docker-per-principal', name: forOwner },
        },
        lifetimeSeconds,
      )
    }
    const joinToken = randomToken('jt')
    await addJoinToken(database.db, joinToken, 'bootstrap', joinSeconds)
    return {
      adminToken: await mint('operator', scopes),
      tenantToken: await mint(slug.data, tenantScopes),
      joinToken,
      ...(owner === undefined ? {} : { viewToken: await mint(`view:${owner}`, ['runtimes:connect'], owner) }),
    }
  } finally {
    await database.close()
  }
}
