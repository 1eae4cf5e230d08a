import assert from 'node:assert/strict'
import type { Frame, Page } from 'playwright-core'

/** The colour that most of a live view's canvas has, as `r,g,b`. */
export const mainColour = (view: Page | Frame): Promise<string | undefined> =>
  view.locator('#noVNC_container canvas').evaluate(element => {
    const canvas = element as HTMLCanvasElement
    const { data } = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height) ?? { data: [] }
    const counts = new Map<string, number>()
    for (let at = 0; at < data.length; at += 4 * 97) {
      const colour = `${data[at]},${data[at + 1]},${data[at + 2]}`
      counts.set(colour, (counts.get(colour) ?? 0) + 1)
    }
    return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0]
  })

/** The picture comes as JPEG: a colour is only nearly what was drawn. */
export function assertNear(seen: string | undefined, wanted: readonly number[]): void {
  const distance = (seen ?? '').split(',').map((value, n) => Math.abs(Number(value) - (wanted[n] ?? 0)))
  assert(distance.length === 3 && distance.every(d => d <= 12), `the view shows ${seen}, not ${wanted}`)
}
