import type { gatewayApi } from './gateway-api.ts'
import type { State } from './state.ts'

export type FormerHosts = {
  state: Pick<State, 'readMadeHosts' | 'writeMadeHosts'>
  /** The hosts of this run. */
  hostIds: readonly string[]
  api: Pick<ReturnType<typeof gatewayApi>, 'removeHost'>
  note: (text: string) => void
  signal: AbortSignal
}

/**
 * Another number of hosts is another set of them, and those of earlier runs would stay listed as lost for ever: takes out the
 * ones that were made here and hold nothing. What holds profiles stays, as they are somebody's logins, and is told of. A host
 * that is taken out is back as soon as a run has it again.
 */
export async function removeFormerHosts({ state, hostIds, api, note, signal }: FormerHosts): Promise<void> {
  const former = state.readMadeHosts().filter(id => !hostIds.includes(id))
  // Written before anything is removed: a host that is asked for in vain is asked for again by the next run.
  state.writeMadeHosts([...former, ...hostIds])
  const left: string[] = []
  let profiles = 0
  for (const id of former) {
    const answer = await api.removeHost(id, signal).catch(() => ({ removed: false, profiles: 0 }))
    if (answer.removed) continue
    left.push(id)
    profiles += answer.profiles
  }
  state.writeMadeHosts([...left, ...hostIds])
  if (profiles > 0) note(keptLine(left.length, profiles))
}

const keptLine = (hosts: number, profiles: number): string =>
  `${hosts === 1 ? 'A host' : `${hosts} hosts`} of an earlier start with another --hosts ${
    hosts === 1 ? 'stays' : 'stay'
  } listed, for the ${profiles === 1 ? 'profile' : `${profiles} profiles`} there: ${
    profiles === 1 ? 'its owner gets' : 'their owners get'
  } 503 until you start with that number again, or they ask with "profile": "fresh" and lose it.`
