import { pythonStrip } from '@porthole/protocol'
import type { Mode } from './owner.ts'

/**
 * The base of view URLs out of a setting, as the original wrote it (PARITY B18): stripped, cut at the first `/vnc.html`
 * or else at the first `/index.html`, without trailing slashes.
 */
export const normalizeBaseUrl = (raw: string): string => {
  let base = pythonStrip(raw)
  for (const page of ['/vnc.html', '/index.html']) {
    const at = base.indexOf(page)
    if (at >= 0) {
      base = base.slice(0, at)
      break
    }
  }
  return base.replace(/\/+$/, '')
}

/** Where a person watches a runtime (PARITY B19); empty without a base. `shared` has one view for the whole tenant. */
export const viewUrl = (base: string, mode: Mode, ownerHash: string): string => {
  if (!base) return ''
  if (mode === 'shared') return `${base}/vnc.html?path=websockify`
  return `${base}/view/${ownerHash}/vnc.html?path=view/${ownerHash}/websockify`
}
