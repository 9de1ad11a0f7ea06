// The lines that a guest prints on its serial console, each with its time.
// Owns their splitting and cleaning, and a limit: it drops the oldest lines and the tails of long ones. Never fails.

export type ConsoleLine = {
  /** Seconds since the machine's start. */
  atSeconds: number
  text: string
}

/** A whole boot with systemd's status lines is about 600 lines; 5,000 of at most 2,000 characters are 10 MB. */
const MAX_LINES = 5_000
const MAX_LINE_CHARS = 2_000

// Escape sequences (colours and cursor movements of the firmware), then all other characters that are not text.
// eslint-disable-next-line no-control-regex
const ESCAPES = /\x1b(?:\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[A-Za-z=>])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)/g
// eslint-disable-next-line no-control-regex
const UNPRINTABLE = /[\x00-\x08\x0b-\x1f\x7f]/g

export type Console = ReturnType<typeof createConsole>

/** @param now returns the seconds since the machine's start */
export function createConsole(now: () => number, onLine?: (line: ConsoleLine) => void) {
  const kept: ConsoleLine[] = []
  let rest = ''
  let bytes = 0

  function add(text: string): void {
    const clean = text.replace(ESCAPES, '').replace(UNPRINTABLE, '').trimEnd()
    if (clean === '') return
    const line = { atSeconds: now(), text: clean.slice(0, MAX_LINE_CHARS) }
    kept.push(line)
    if (kept.length > MAX_LINES) kept.shift()
    onLine?.(line)
  }

  return {
    push(chunk: string): void {
      bytes += chunk.length
      const lines = (rest + chunk).split(/\r*\n/)
      // Cuts an unfinished line at the limit, so that a guest without line ends stays within it.
      rest = (lines.pop() ?? '').slice(-2 * MAX_LINE_CHARS)
      for (const line of lines) add(line)
    },
    /** The number of printed characters. */
    bytes: (): number => bytes,
    /** Whether the guest has printed nothing yet, not even half a line. */
    silent: (): boolean => bytes === 0,
    lines: (): readonly ConsoleLine[] => kept,
    /** The last `count` lines as text, with an unfinished one. */
    tail(count: number): string[] {
      const unfinished = rest.replace(ESCAPES, '').replace(UNPRINTABLE, '').trimEnd()
      const all = kept.map(({ text }) => text)
      return [...all, ...(unfinished === '' ? [] : [unfinished])].slice(-count)
    },
  }
}

/** The first JSON log line of the server with this `event`, and its time; null if there is none. */
export function findEvent(
  lines: readonly ConsoleLine[],
  event: string,
): { atSeconds: number; fields: Record<string, unknown> } | null {
  for (const { atSeconds, text } of lines) {
    const start = text.indexOf('{"')
    if (start < 0) continue
    const fields = parseObject(text.slice(start))
    if (fields?.['event'] === event) return { atSeconds, fields }
  }
  return null
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return null
  }
}
