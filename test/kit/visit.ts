import type { Page, Request, Response } from 'playwright-core'

const mostTries = 4
const wasCut = (failure: unknown) => /ERR_NETWORK_CHANGED/.test(String(failure))

/**
 * Opens an address, and opens it again when the network of this machine has changed meanwhile: containers and hosts of
 * other tests come and go, and Chromium then gives up whatever it has begun.
 *
 * @throws Error of the last try, without the address: that may hold a ticket
 */
export async function visit(page: Page, url: string): Promise<Response | null> {
  for (let tries = 1; ; tries += 1) {
    const failures: unknown[] = []
    const note = (request: Request) => void failures.push(request.failure()?.errorText)
    page.on('requestfailed', note)
    try {
      const answer = await page.goto(url)
      if (tries === mostTries || !failures.some(wasCut)) return answer
    } catch (error) {
      if (tries === mostTries || !wasCut(error))
        throw new Error(`a page was not opened: ${String(error).split(' at ', 1)[0]}`)
    } finally {
      page.off('requestfailed', note)
    }
  }
}
