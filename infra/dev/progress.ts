/** One long step: it can say where it is, and ends well, badly, or given up for a reason that is not its own. */
export type ProgressStep = { update(detail: string): void; done(detail?: string): void; fail(): void; drop(): void }

/** What the person sees of the steps. Several can run at once. */
export type Progress = {
  step(title: string): ProgressStep
  /** A line of its own. */
  note(text: string): void
}

export type Screen = {
  write(text: string): void
  /** A terminal that can be drawn upon, as opposed to a pipe or a log. */
  live: boolean
  columns(): number
}

type Running = { title: string; detail: string; started: number; told: number }

const frames = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏'
const redrawMs = 120
const silenceMs = 10_000
const titleWidth = 18

/**
 * Steps as lines: on a terminal each running step has a live line with its elapsed time; elsewhere a step is one line when it
 * ends, and one every 10 s while it lasts.
 */
export function createProgress(screen: Screen, now = () => performance.now()): Progress {
  const running = new Set<Running>()
  let timer: NodeJS.Timeout | undefined
  let drawn = 0
  let frame = 0

  const erase = () => {
    if (drawn) screen.write(`\r\x1b[${drawn}A\x1b[0J`)
    drawn = 0
  }
  const draw = () => {
    erase()
    frame = (frame + 1) % frames.length
    for (const step of running) {
      screen.write(`${line(frames[frame] ?? '', step, now(), screen.columns())}\n`)
      drawn += 1
    }
  }
  const tellSilent = () => {
    for (const step of running) {
      if (now() - step.told < silenceMs) continue
      step.told = now()
      screen.write(`${line('…', step, now())}\n`)
    }
  }
  const settle = () => {
    if (running.size > 0 && !timer) timer = setInterval(screen.live ? draw : tellSilent, screen.live ? redrawMs : 500)
    if (running.size === 0 && timer) {
      clearInterval(timer)
      timer = undefined
    }
    if (screen.live) draw()
  }
  const print = (text: string) => {
    if (screen.live) erase()
    screen.write(`${text}\n`)
    if (screen.live) draw()
  }

  return {
    note: print,
    step(title) {
      const step = { title, detail: '', started: now(), told: now() }
      running.add(step)
      settle()
      const end = (mark: string, detail: string) => {
        if (!running.delete(step)) return
        print(line(mark, { ...step, detail }, now()))
        settle()
      }
      return {
        update(detail) {
          step.detail = detail.replace(/\s+/g, ' ').trim()
        },
        done: (detail = '') => end('✓', detail),
        fail: () => end('✗', step.detail),
        drop: () => end('-', 'given up'),
      }
    },
  }
}

function line(
  mark: string,
  { title, detail, started }: Running,
  now: number,
  columns = Number.POSITIVE_INFINITY,
): string {
  const seconds = `${((now - started) / 1000).toFixed(1)} s`.padStart(7)
  return `${mark} ${title.padEnd(titleWidth)}${seconds}  ${detail}`.trimEnd().slice(0, columns - 1)
}

/** Runs `work` as a step: ends it well with what `work` says of itself, badly when it throws, given up when it was aborted. */
export async function inStep<T>(
  progress: Progress,
  title: string,
  work: (step: ProgressStep) => Promise<T>,
  tellOf: (result: T) => string = () => '',
): Promise<T> {
  const step = progress.step(title)
  try {
    const result = await work(step)
    step.done(tellOf(result))
    return result
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError') step.drop()
    else step.fail()
    throw error
  }
}

/** The screen that a stream of ours is. A reader that went away is no reason to end. */
export function screenOf(stream: NodeJS.WriteStream): Screen {
  stream.on('error', () => {})
  return {
    write: text => {
      stream.write(text)
    },
    live: Boolean(stream.isTTY),
    columns: () => stream.columns || 80,
  }
}
