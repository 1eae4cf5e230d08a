export function wordsFor(reason: string | undefined): { title: string; why: string }
export function faultFor(status: number): string
export function sessionPath(pathname: string): string
