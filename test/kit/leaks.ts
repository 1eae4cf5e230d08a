import type { Secret } from './evidence-folder.ts'

/** A line that holds what it must not. */
export type Leak = {
  /** From 1. */
  line: number
  /** What it holds, by name. */
  names: string[]
  /** The line, with all of that masked. */
  masked: string
}

type Find = { start: number; end: number; name: string }

const prefixLength = 8
/** Of a line that is told of: enough to find the log call. */
const shownLength = 600

/** What a secret looks like whoever made it. What is masked already (`[hidden]`, `***`) is none. */
const shapes: readonly { name: string; pattern: RegExp }[] = [
  { name: 'shape of a JWT', pattern: /eyJ[\w-]{8,}\.eyJ[\w-]{8,}(\.[\w-]*)?/g },
  { name: 'shape of a ticket or join token', pattern: /\b(?:tk|jt)_[\w-]{43}(?![\w-])/g },
  { name: 'shape of a database password', pattern: /postgres(?:ql)?:\/\/[^\s:/@"']+:(?!\*+@|\[)[^\s@"']+@/g },
  {
    name: 'shape of a container key',
    pattern: /(?:x-porthole-key|PORTHOLE_KEY)\\*["']?\s*[:=,]\s*\[?\s*\\*["']?(?!\[hidden\])[\w+/=-]{8,}/gi,
  },
  { name: 'shape of a private JWK', pattern: /\\*["']?\bd\\*["']?\s*:\s*\\*["'][\w-]{20,}\\*["']/g },
  { name: 'shape of a private key', pattern: /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----(?:[^-]*)/g },
]

/** A function that tells which lines of a text hold one of `secrets`, in any of its forms, or what looks like one. */
export function createLeakSearch(secrets: readonly Secret[]): (text: string) => Leak[] {
  // By their first characters, so that a text is walked once however many secrets there are.
  const byPrefix = new Map<string, { form: string; name: string }[]>()
  for (const { kind, from, value } of secrets)
    for (const { form, how } of formsOf(value)) {
      const prefix = form.slice(0, prefixLength)
      const same = byPrefix.get(prefix) ?? []
      byPrefix.set(prefix, same)
      same.push({ form, name: `${kind}${how} of ${from}` })
    }

  return text => {
    const finds: Find[] = []
    for (let at = 0; at + prefixLength <= text.length; at += 1)
      for (const { form, name } of byPrefix.get(text.slice(at, at + prefixLength)) ?? [])
        if (text.startsWith(form, at)) finds.push({ start: at, end: at + form.length, name })
    for (const { name, pattern } of shapes)
      for (const match of text.matchAll(pattern))
        finds.push({ start: match.index, end: match.index + match[0].length, name })
    return leaksOf(text, finds)
  }
}

/** A secret as it is, and as it is written in JSON, in a URL, and within something in base64. */
export function formsOf(value: string): { form: string; how: string }[] {
  const forms = new Map([[value, '']])
  const add = (form: string, how: string) => {
    if (form.length >= prefixLength && !forms.has(form)) forms.set(form, how)
  }
  add(JSON.stringify(value).slice(1, -1), '')
  add(encodeURIComponent(value), ' (URL-encoded)')
  const bytes = Buffer.from(value)
  for (const before of [0, 1, 2]) {
    // Whatever stands before and after it shares a character with its first and last bits: those are left out.
    const whole = Buffer.concat([Buffer.alloc(before), bytes])
    const [start, end] = [Math.ceil((before * 8) / 6), Math.floor((whole.length * 8) / 6)]
    for (const encoding of ['base64', 'base64url'] as const)
      add(whole.toString(encoding).slice(start, end), ' (in base64)')
  }
  return [...forms].map(([form, how]) => ({ form, how }))
}

/** One for each line that a find begins in. */
function leaksOf(text: string, unsorted: readonly Find[]): Leak[] {
  const finds = unsorted.toSorted((a, b) => a.start - b.start)
  const leaks: Leak[] = []
  let [line, lineStart] = [1, 0]
  for (let n = 0; n < finds.length; ) {
    for (let next = text.indexOf('\n', lineStart); next >= 0 && next < (finds[n]?.start ?? 0); ) {
      ;[line, lineStart] = [line + 1, next + 1]
      next = text.indexOf('\n', lineStart)
    }
    const newline = text.indexOf('\n', lineStart)
    const lineEnd = newline < 0 ? text.length : newline
    const names = new Set<string>()
    let [masked, at] = ['', lineStart]
    // A find may reach into later lines: nothing of those is shown.
    for (let find = finds[n]; find && find.start <= lineEnd; find = finds[++n]) {
      names.add(find.name)
      if (find.start >= at) masked += `${text.slice(at, find.start)}[${find.name}]`
      at = Math.max(at, find.end)
    }
    masked += text.slice(at, Math.max(at, lineEnd))
    const first = masked.indexOf(`[${[...names][0]}]`)
    const from = Math.max(0, first - shownLength / 2)
    leaks.push({ line, names: [...names], masked: masked.slice(from, from + shownLength) })
  }
  return leaks
}
