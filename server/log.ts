// Writes the log: one JSON object a line on stdout, each with `event`; for the journal, a level before it.
// Owns: the levels, and the bounds on line length and on lines a second. Never throws and never waits: when stdout's
// reader has gone or does not read, lines are dropped.
import { fstatSync } from 'node:fs'

/** Longest string value in a line: one SMTP reply line (RFC 5321 section 4.5.3.1.5: 512 octets). */
const FIELD_CHARS = 512

/** Most bytes buffered for a reader that does not read: 10,000 lines of 400 bytes. Further lines are dropped. */
const MAX_BUFFERED_BYTES = 4_194_304

/** Most entries of a list in a line. */
const LIST_ITEMS = 20

export type LogFields = Record<string, unknown>
export type Log = (event: string, fields?: LogFields) => void

/** Levels of syslog(3). */
const [ERROR, WARNING, INFO] = [3, 4, 6]

/** Events above INFO. Events whose name ends in `-failed` are warnings as well. */
const LEVELS: ReadonlyMap<string, number> = new Map([
  ['uncaught', ERROR],
  ['start-failed', ERROR],
  ['clock-step', WARNING],
  ['connections-full', WARNING],
  ['deliveries-cut', WARNING],
  ['launch-overdue', WARNING],
  ['lease-lost', WARNING],
  ['routes-broken', WARNING],
  ['secrets-changed', WARNING],
  ['sessions-cut', WARNING],
  ['termination-not-awaited', WARNING],
  ['waiting', WARNING],
])

/** The syslog level of an event's lines. The result of a delivery is INFO, even a failure. */
export function logLevel(event: string): number {
  return LEVELS.get(event) ?? (event.endsWith('-failed') ? WARNING : INFO)
}

/** A log that writes to stdout, with the time in every line. */
export function createLog(): Log {
  process.stdout.on('error', () => {})
  const toJournal = isJournal(1, process.env)
  return (event, fields = {}) => {
    if (process.stdout.writableLength > MAX_BUFFERED_BYTES) return
    const line = { event, time: new Date().toISOString(), ...fields }
    const level = toJournal ? `<${logLevel(event)}>` : ''
    process.stdout.write(`${level}${JSON.stringify(line, short)}\n`)
  }
}

/**
 * Whether a descriptor of this process is connected to the journal, which reads a level at the start of each line.
 * Sources: systemd.exec(5), "JOURNAL_STREAM"; sd-daemon(3).
 */
export function isJournal(descriptor: number, { JOURNAL_STREAM: stream }: NodeJS.ProcessEnv): boolean {
  if (stream === undefined) return false
  const { dev, ino } = fstatSync(descriptor, { bigint: true })
  return stream === `${dev}:${ino}`
}

/** A log that writes at most `perSecond` lines a second of each event. A line with `leftOut` counts the others. */
export function limitLog(log: Log, perSecond: number, now: () => number = Date.now): Log {
  const counts = new Map<string, { second: number; lines: number }>()
  return (event, fields) => {
    const second = Math.floor(now() / 1_000)
    const count = counts.get(event) ?? { second, lines: 0 }
    counts.set(event, count)
    if (count.second !== second) {
      if (count.lines > perSecond) log(event, { leftOut: count.lines - perSecond })
      count.second = second
      count.lines = 0
    }
    count.lines++
    if (count.lines <= perSecond) log(event, fields)
  }
}

/** Limits `…-failed` events as {@link limitLog} does: during an outage every message and every call may fail. */
export function limitFailures(log: Log, perSecond: number, now?: () => number): Log {
  const limited = limitLog(log, perSecond, now)
  return (event, fields) => (event.endsWith('-failed') ? limited : log)(event, fields)
}

/** An error's fields in a log line: its message, its code, and the place that threw it. */
export function errorFields(error: unknown): LogFields {
  if (!(error instanceof Error)) return { error: String(error) }
  const at = error.stack
    ?.split('\n')
    .find((line) => line.trim().startsWith('at '))
    ?.trim()
  const { code } = error as NodeJS.ErrnoException
  return {
    error: error.message,
    ...(code === undefined ? {} : { code }),
    ...(at === undefined ? {} : { at }),
  }
}

function short(_key: string, value: unknown): unknown {
  if (typeof value === 'string' && value.length > FIELD_CHARS) return `${value.slice(0, FIELD_CHARS)}…`
  if (Array.isArray(value) && value.length > LIST_ITEMS)
    return [...(value as unknown[]).slice(0, LIST_ITEMS), '…']
  return value
}
