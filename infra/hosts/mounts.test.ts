import assert from 'node:assert/strict'
import { it } from 'node:test'
import { mountsUnder } from './mounts.ts'

it("the mounts within a folder are told deepest first, and no other folder's", () => {
  const mountinfo = `22 1 254:0 / / rw,relatime - ext4 /dev/root rw
30 22 254:0 /a /srv/my\\040repo/hosts/1/docker rw - ext4 /dev/root rw
31 30 0:40 / /srv/my\\040repo/hosts/1/docker/overlay2/x/merged rw - overlay overlay rw
32 22 0:4 net:[4026532] /run/porthole-aa/1/exec/netns/y rw - nsfs nsfs rw
33 22 0:4 / /srv/my\\040repo/hosts-of-others/1 rw - tmpfs tmpfs rw
`
  assert.deepEqual(mountsUnder(['/srv/my repo/hosts', '/run/porthole-aa'], mountinfo), [
    '/run/porthole-aa/1/exec/netns/y',
    '/srv/my repo/hosts/1/docker/overlay2/x/merged',
    '/srv/my repo/hosts/1/docker',
  ])
})
