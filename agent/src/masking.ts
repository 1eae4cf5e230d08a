/** Shorter values (a port, `true`, a locale) are no secrets, and masking them would ruin every line. */
const leastLength = 8
const mask = '[hidden]'

/** The values of an environment that must not be repeated in a log or an error. */
export const secretsIn = (env: Readonly<Record<string, string>>, alwaysSecret: readonly string[]): string[] =>
  Object.entries(env)
    .filter(([name, value]) => value !== '' && (value.length >= leastLength || alwaysSecret.includes(name)))
    .map(([, value]) => value)

/** `text` with every secret in it replaced; longer ones first, as one may contain another. */
export const maskSecrets = (text: string, secrets: readonly string[]): string =>
  [...secrets].sort((a, b) => b.length - a.length).reduce((masked, secret) => masked.replaceAll(secret, mask), text)
