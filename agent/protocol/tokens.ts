/**
 * Who signs what between gateway and agent. All are EdDSA JWTs of at most `maxLifetimeSeconds`; the audience keeps one
 * kind from being used as another, and as a caller's token (audience `porthole`).
 *
 * | token | issuer, key | audience | further claims | carried in |
 * |---|---|---|---|---|
 * | command | gateway, JWKS at `/.well-known/jwks.json` | the host's id | `use: "command"` | `Authorization` |
 * | hop (edge traffic) | gateway | the host's id | `use: "hop"`, `sub` runtime id, `gen`, `access` | `x-porthole-hop` |
 * | heartbeat | the host's id, its own key | `heartbeatAudience` | | `Authorization` |
 * | challenge proof | the joining host's key | `challengeAudience` | `nonce`, `cert` | body |
 */
export const heartbeatAudience = 'porthole-gateway'
export const challengeAudience = 'porthole-join'
export const gatewayIssuer = 'porthole'
export const maxLifetimeSeconds = 60

/**
 * The gateway's time in its answers to joins and heartbeats, refusals too: milliseconds since the epoch. Tokens both ways are
 * minted and judged by it.
 */
export const timeHeader = 'x-porthole-time'

/** Carries the hop token, so that a container's own `Authorization` stays its own. */
export const hopHeader = 'x-porthole-hop'
/** Carries the per-container key, agent → container. */
export const keyHeader = 'x-porthole-key'
/** `control` or `view`, agent → container: a `view` socket may not type. */
export const accessHeader = 'x-porthole-access'

export type Access = 'control' | 'view'

/** `/edge/<runtimeId>/<generation>/<portName>/<path>`: edge traffic on the agent. */
export const edgePath = (runtimeId: string, generation: number, port: string, pathAndQuery: string): string =>
  `/edge/${runtimeId}/${generation}/${port}${pathAndQuery}`
