import type { Runtime } from './api.js'

export type Action =
  | 'open'
  | 'watch'
  | 'copy-cdp'
  | 'copy-playwright'
  | 'pause'
  | 'resume'
  | 'stop'
  | 'start'
  | 'delete'
export type Look = {
  tone: 'good' | 'busy' | 'still' | 'bad'
  /** Buttons of the row. */
  main: readonly Action[]
  /** Behind its menu. */
  more: readonly Action[]
}
export type Searched = Pick<Runtime, 'id' | 'owner' | 'ownerHash' | 'spec' | 'host' | 'mode' | 'labels'> & {
  state: string
}
export function lookOf(state: string): Look
export function matches(runtime: Searched, wanted: { group: string; words: string }): boolean
export const actionNames: Readonly<Record<Action, string>>
export const groups: readonly { key: string; name: string; states: readonly string[] | null }[]
