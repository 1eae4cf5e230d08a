import type postgres from 'postgres'

/** NOTIFY channel: the payload is the id of a runtime that moved. A hint; the row is the truth. */
export const runtimeChannel = 'porthole_runtimes'

/** NOTIFY channel: there may be room again for the tenant whose slug is the payload, or for all (`*`). A hint. */
export const roomChannel = 'porthole_room'

/**
 * Hints for whoever waits. They go out a moment after the commit, many in one statement: a NOTIFY inside a transaction
 * has all others that notify wait for its commit (Postgres locks its queue for the whole of it). Each listener looks by
 * itself every second, so what is lost with a process is made up for.
 */
export type Notices = {
  /** Sends `payload` on `channel` soon: once the transaction that it was told in has been committed. */
  tell(channel: string, payload: string): void
}

export type Notice = { channel: string; payload: string }

/** Notices of a transaction that may yet be undone. */
export const holdNotices = (to: Notices): Notices & { release(): void } => {
  const held: Notice[] = []
  return {
    tell: (channel, payload) => void held.push({ channel, payload }),
    release: () => {
      for (const { channel, payload } of held) to.tell(channel, payload)
    },
  }
}

/** Milliseconds in which what is said again and again is passed on once. */
const moreMs = 500

/**
 * Passes the first word on at once, and all that come within half a second of it as one, at its end: postgres.js (3.4.9) says
 * once for each attempt that has failed that it listens again.
 */
export const onceInAWhile = (say: () => void, ms = moreMs): { say(): void; stop(): void } => {
  let timer: NodeJS.Timeout | undefined
  let isSaidAgain = false
  let isStopped = false
  const pass = () => {
    isSaidAgain = false
    timer = setTimeout(() => {
      timer = undefined
      if (isSaidAgain) pass()
    }, ms).unref()
    say()
  }
  return {
    say: () => {
      if (isStopped) return
      if (timer) isSaidAgain = true
      else pass()
    },
    stop: () => {
      clearTimeout(timer)
      isStopped = true
    },
  }
}

/** Milliseconds for which notices are gathered: a person does not see them, and a database under load does. */
const gatherMs = 3
const againMs = 200
/** Notices that wait at most; then the oldest are dropped, and those who wait for them look by themselves. */
const mostWaiting = 20_000
const mostAtOnce = 2000

/**
 * Gathers notices, and sends what has come together; what could not be sent is sent again.
 *
 * @param send may be asked for the same notice again
 */
export const gatherNotices = (
  send: (notices: readonly Notice[]) => Promise<void>,
): Notices & { close(ms: number): Promise<void> } => {
  let waiting = new Map<string, Notice>()
  let timer: NodeJS.Timeout | undefined
  let sending: Promise<void> | undefined
  let isClosed = false

  const keep = (notices: Iterable<[string, Notice]>) => {
    const kept = [...new Map(notices)]
    waiting = new Map(kept.slice(-mostWaiting))
  }
  const sendSome = async () => {
    const batch = [...waiting].slice(0, mostAtOnce)
    for (const [key] of batch) waiting.delete(key)
    try {
      await send(batch.map(([, notice]) => notice))
    } catch {
      // What was told since is newer, and goes last.
      keep([...batch, ...waiting])
      return againMs
    }
    return gatherMs
  }
  const schedule = (ms: number) => {
    if (timer || sending || isClosed || waiting.size === 0) return
    timer = setTimeout(() => {
      timer = undefined
      let next = againMs
      sending = sendSome()
        .then(ms => {
          next = ms
        })
        .finally(() => {
          sending = undefined
          schedule(next)
        })
    }, ms)
  }

  return {
    tell: (channel, payload) => {
      if (isClosed) return
      waiting.set(`${channel} ${payload}`, { channel, payload })
      if (waiting.size > mostWaiting)
        for (const [oldest] of waiting) {
          waiting.delete(oldest)
          break
        }
      schedule(gatherMs)
    },
    close: async ms => {
      isClosed = true
      clearTimeout(timer)
      const rest = async () => {
        await sending
        while (waiting.size > 0) if ((await sendSome()) === againMs) return
      }
      let late: NodeJS.Timeout | undefined
      const deadline = new Promise<void>(resolve => {
        late = setTimeout(resolve, ms)
      })
      await Promise.race([rest(), deadline])
      clearTimeout(late)
    },
  }
}

/** Sends notices in one statement; of room only where somebody waits for some. */
export const sendNotices =
  (client: postgres.Sql) =>
  async (notices: readonly Notice[]): Promise<void> => {
    await client`
      select pg_notify(told.channel, told.payload)
      from json_to_recordset(${JSON.stringify(notices)}::text::json) as told (channel text, payload text)
      where told.channel <> ${roomChannel} or exists (
        select 1 from runtimes
        where line_since is not null and line_until > now() and (told.payload = '*' or tenant = told.payload)
      )`
  }
