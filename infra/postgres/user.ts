import { readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { Explained } from '../dev/explained.ts'

/** Who Postgres runs as, when that is not who we are. */
export type SystemUser = { uid: number; gid: number }

/**
 * The user that Postgres runs as: undefined (our own) unless we are root, which Postgres refuses to run as. It must be
 * one that the system knows by name, or initdb stops.
 */
export function postgresUser(uid = process.getuid?.(), passwd = readPasswd): SystemUser | undefined {
  if (uid !== 0) return undefined
  const users = passwd()
  for (const name of ['postgres', 'nobody']) {
    const found = userNamed(users, name)
    if (found) return found
  }
  throw new Explained('Postgres does not run as root, and this system has neither a user postgres nor nobody.')
}

const readPasswd = () => readFileSync('/etc/passwd', 'utf8')

export function userNamed(passwd: string, name: string): SystemUser | undefined {
  const fields = passwd
    .split('\n')
    .map(line => line.split(':'))
    .find(line => line[0] === name)
  const [uid, gid] = [Number(fields?.[2]), Number(fields?.[3])]
  return fields && uid > 0 && gid > 0 ? { uid, gid } : undefined
}

/** Whether this user may walk down to `path`: every folder above it lets them through (a repo in /root does not). */
export function canReach(path: string, user: SystemUser): boolean {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const { mode, uid, gid } = statSync(folder)
    const needed = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001
    if (!(mode & needed)) return false
    if (folder === dirname(folder)) return true
  }
}
