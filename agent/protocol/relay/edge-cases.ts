import { edgeFaultCases } from './edge-fault-cases.ts'
import { edgeHttpCases } from './edge-http-cases.ts'
import { edgeSocketCases } from './edge-socket-cases.ts'
import type { OpenFront } from './front.ts'

/**
 * Every case in which proxies are known to go wrong, each by the words it is known by, through whatever `open` puts in front
 * of an upstream.
 */
export function edgeCases(open: OpenFront): void {
  edgeHttpCases(open)
  edgeFaultCases(open)
  edgeSocketCases(open)
}
