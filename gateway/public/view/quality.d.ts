export type Level = { quality: number; compression: number }
export const levels: readonly Level[]
export function createQuality(needs: { now: () => number; apply: (level: Level) => void }): {
  readonly level: Level
  received: (bytes: number) => void
  begin: () => void
}
