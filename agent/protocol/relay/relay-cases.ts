import { endlessCases } from './endless-cases.ts'
import { faultCases } from './fault-cases.ts'
import { handshakeCases } from './handshake-cases.ts'
import { httpCases } from './http-cases.ts'
import { rareCases } from './rare-cases.ts'
import { tlsCases } from './tls-cases.ts'
import { upgradeCases } from './upgrade-cases.ts'
import { uploadCases } from './upload-cases.ts'
import { webSocketCases } from './websocket-cases.ts'

/** Every case of where proxies go wrong, for `hops` relays in a row. */
export function relayCases(hops: number): void {
  httpCases(hops)
  uploadCases(hops)
  faultCases(hops)
  endlessCases(hops)
  upgradeCases(hops)
  handshakeCases(hops)
  webSocketCases(hops)
  rareCases(hops)
  tlsCases(hops)
}
