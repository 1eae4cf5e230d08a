/**
 * The mount points within these folders, deepest first.
 * @param mountinfo /proc/self/mountinfo, whose fifth field is the mount point (proc_pid_mountinfo(5))
 */
export const mountsUnder = (folders: readonly string[], mountinfo: string): string[] =>
  mountinfo
    .split('\n')
    .map(line => unescaped(line.split(' ')[4] ?? ''))
    .filter(place => folders.some(folder => place.startsWith(`${folder}/`)))
    .reverse()

/** Blanks and the like stand there as \040. */
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
