export type Part = { keys: string } | { paste: string }
export function partsOf(text: string): Part[]
export function createTyping(needs: {
  press: (character: string) => void
  paste: (text: string) => void
  wait?: (ms: number) => Promise<unknown>
}): (text: string) => Promise<void>
