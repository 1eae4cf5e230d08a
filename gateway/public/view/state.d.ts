export type Rest = 'paused' | 'stopped' | 'failed' | 'lost'
export type Phase = 'connecting' | 'reconnecting' | 'waiting' | 'connected' | Rest | 'gone' | 'expired'
export type Verdict = 'retry' | 'waiting' | Rest | 'gone' | 'expired'
export type Options = { viewOnly: boolean; resize: 'scale' | 'remote' | 'off'; quality: number | undefined }
export type Message = { title: string; detail: string; action?: 'reload' | 'resume' | undefined; busy: boolean }
export function backoffMs(attempt: number, random?: () => number): number
export function verdictOf(answer: { status: number; state?: string | null | undefined }): Verdict
export function optionsFrom(fragment: string): Options
export function messageOf(
  phase: Phase,
  how?: { isFramed?: boolean; viewOnly?: boolean; why?: string | null | undefined },
): Message | undefined
