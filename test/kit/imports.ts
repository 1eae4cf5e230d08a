import { SyntaxKind } from 'typescript/unstable/ast'
import { createScanner } from 'typescript/unstable/ast/scanner'

/** What a source file takes from elsewhere, read from its tokens: strings, comments and templates can't mislead it. */
export type SourceFacts = {
  imports: { specifier: string; typeOnly: boolean }[]
  /** Whether it reads the process's environment. */
  readsEnvironment: boolean
}

type Token = { kind: SyntaxKind; text: string; value: string }

export function factsOf(source: string): SourceFacts {
  const tokens = tokensOf(source)
  return { imports: importsIn(tokens), readsEnvironment: readsEnvironment(tokens) }
}

/** After these a slash divides; after anything else it begins a regular expression. */
const endsOperand = new Set([
  SyntaxKind.Identifier,
  SyntaxKind.NumericLiteral,
  SyntaxKind.BigIntLiteral,
  SyntaxKind.StringLiteral,
  SyntaxKind.NoSubstitutionTemplateLiteral,
  SyntaxKind.TemplateTail,
  SyntaxKind.RegularExpressionLiteral,
  SyntaxKind.CloseParenToken,
  SyntaxKind.CloseBracketToken,
  SyntaxKind.CloseBraceToken,
  SyntaxKind.ThisKeyword,
  SyntaxKind.TrueKeyword,
  SyntaxKind.FalseKeyword,
  SyntaxKind.NullKeyword,
])

function tokensOf(source: string): Token[] {
  const scanner = createScanner(true)
  scanner.setText(source)
  const tokens: Token[] = []
  /** Open braces, true for one that belongs to a template: its closing brace goes on with the template's text. */
  const braces: boolean[] = []
  for (let kind = scanner.scan(); kind !== SyntaxKind.EndOfFile; kind = scanner.scan()) {
    const last = tokens.at(-1)
    if (kind === SyntaxKind.SlashToken || kind === SyntaxKind.SlashEqualsToken) {
      if (!last || !endsOperand.has(last.kind)) kind = scanner.reScanSlashToken()
    } else if (kind === SyntaxKind.OpenBraceToken) {
      braces.push(false)
    } else if (kind === SyntaxKind.TemplateHead) {
      braces.push(true)
    } else if (kind === SyntaxKind.CloseBraceToken) {
      const inTemplate = braces.pop()
      if (inTemplate) kind = scanner.reScanTemplateToken(false)
      if (kind === SyntaxKind.TemplateMiddle) braces.push(true)
    }
    tokens.push({ kind, text: scanner.getTokenText(), value: scanner.getTokenValue() })
  }
  return tokens
}

function importsIn(tokens: readonly Token[]): SourceFacts['imports'] {
  const found: SourceFacts['imports'] = []
  for (const [i, { kind }] of tokens.entries()) {
    if (tokens[i - 1]?.kind === SyntaxKind.DotToken) continue // a property of that name
    if (kind !== SyntaxKind.ImportKeyword && kind !== SyntaxKind.ExportKeyword) continue
    const specifier = specifierAfter(tokens, i)
    if (specifier !== undefined) found.push({ specifier, typeOnly: tokens[i + 1]?.text === 'type' })
  }
  return found
}

/** The module named by the import or export that begins at `i`; undefined for `export const` and `import.meta`. */
function specifierAfter(tokens: readonly Token[], i: number): string | undefined {
  const next = tokens[i + 1]
  if (next?.kind === SyntaxKind.StringLiteral) return next.value // import 'x'
  if (next?.kind === SyntaxKind.OpenParenToken) {
    const argument = tokens[i + 2] // import('x')
    return argument?.kind === SyntaxKind.StringLiteral ? argument.value : undefined
  }
  let depth = 0
  for (let j = i + 1; j < tokens.length; j += 1) {
    const token = tokens[j]
    if (!token) return undefined
    if (token.kind === SyntaxKind.OpenBraceToken) depth += 1
    else if (token.kind === SyntaxKind.CloseBraceToken) depth -= 1
    else if (token.kind === SyntaxKind.FromKeyword && depth === 0) {
      const module = tokens[j + 1]
      return module?.kind === SyntaxKind.StringLiteral ? module.value : undefined
    } else if (depth === 0 && !isClausePart(token)) return undefined
  }
  return undefined
}

/** What may stand between `import` or `export` and `from`, outside braces. */
const isClausePart = ({ kind, text }: Token) =>
  kind === SyntaxKind.Identifier ||
  kind === SyntaxKind.AsteriskToken ||
  kind === SyntaxKind.CommaToken ||
  text === 'type' ||
  text === 'as' ||
  text === 'defer'

/** `process.env`, `process?.env`, `process['env']`, or an import of the process module, which has it too. */
function readsEnvironment(tokens: readonly Token[]): boolean {
  if (importsIn(tokens).some(({ specifier }) => /^(node:)?process$/.test(specifier))) return true
  return tokens.some(
    ({ value }, i) =>
      value === 'env' && tokens[i - 2]?.text === 'process' && ['.', '?.', '['].includes(tokens[i - 1]?.text ?? ''),
  )
}
