export function splitToken(fragment: string): { token: string | undefined; rest: string }
export function takeToken(
  location: Pick<Location, 'hash' | 'pathname' | 'search'>,
  history: Pick<History, 'state' | 'replaceState'>,
): string | undefined
