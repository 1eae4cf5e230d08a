export type Phase = 'connecting' | 'reconnecting' | 'waiting' | 'connected' | 'paused' | 'stopped' | 'gone' | 'expired'
export type Verdict = 'retry' | 'waiting' | 'paused' | 'stopped' | 'gone' | 'expired'
export type Options = { viewOnly: boolean; resize: 'scale' | 'remote' | 'off'; quality: number | undefined }
export type Message = { title: string; detail: string; action?: 'reload' | 'resume'; busy: boolean }
export function backoffMs(attempt: number, random?: () => number): number
export function verdictOf(answer: { status: number; state?: string | null | undefined }): Verdict
export function optionsFrom(fragment: string): Options
export function messageOf(phase: Phase, isFramed?: boolean): Message | undefined
