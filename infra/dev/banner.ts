import type { DevInfo } from './state.ts'

/** What the person gets when the stack is up: where to look, and what to paste. */
export function banner(info: DevInfo, last: string, colour: boolean): string {
  const bold = (text: string) => (colour ? `\x1b[1m${text}\x1b[0m` : text)
  const dim = (text: string) => (colour ? `\x1b[2m${text}\x1b[0m` : text)
  return `
${bold('Porthole is up.')}

  Live view   ${bold(info.viewUrl)}
  Console     ${info.consoleUrl}
  Token       ${info.tenantToken}

  Another browser, for alice:
  ${curlLine(info)}

${dim(last)}
`
}

/** A command that works when pasted into a shell. */
export const curlLine = ({ gatewayUrl, tenantToken }: Pick<DevInfo, 'gatewayUrl' | 'tenantToken'>): string =>
  `curl -sS ${gatewayUrl}/v1/runtimes -H 'Authorization: Bearer ${tenantToken}' -H 'Content-Type: application/json' -d '{"userId":"alice"}'`
