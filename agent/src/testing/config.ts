import { homedir } from 'node:os'
import { dockerEngine, type EngineAddress } from '../engine/docker.ts'
import { localFiles } from '../engine/local-files.ts'
import { locateEngine } from '../engine/locate.ts'

/** Images that the tests can use, best first: any Debian will do, for its shell and perl. */
const usable = ['browser-use-browser-runtime:latest', 'porthole-base:probe', 'debian:bookworm-slim']

/**
 * The real engine that integration tests run on, and an image it has. `PORTHOLE_TEST_IMAGE` names another image.
 * @throws Error when there is no image: build the browser image first.
 */
export const realEngine = async (): Promise<{ address: EngineAddress; image: string }> => {
  const { DOCKER_HOST, PORTHOLE_TEST_IMAGE } = process.env
  const env = { home: homedir(), ...(DOCKER_HOST ? { dockerHost: DOCKER_HOST } : {}) }
  const { address } = await locateEngine(env, localFiles)
  const images = await dockerEngine(address).images()
  const image = [PORTHOLE_TEST_IMAGE, ...usable].find(name => name !== undefined && images.includes(name))
  if (image === undefined) {
    throw new Error(`none of these images is on the engine: ${usable.join(', ')}; build the browser image first`)
  }
  return { address, image }
}
