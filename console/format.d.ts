export function age(iso: string | null | undefined, now: number): string
export function bytes(amount: number): string
export function cpus(millis: number): string
export function modeName(mode: string): string
export function claimsOf(token: string): { tenant?: string; owner?: string; expiresAt?: number }
export function playwrightSnippet(cdpUrl: string): string
