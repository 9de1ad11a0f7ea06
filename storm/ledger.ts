// Counts each message of a storm by its id, from the first attempt to its arrival at the sink.
// Owns what counts as accepted, forwarded, duplicate, lost, refused and reset, and the figures of each period.
// The senders and the sink report to it. It never fails.
import { percentile } from '../platform/percentile.ts'

export type Ledger = ReturnType<typeof createLedger>

/** Counts since the last call of takePeriod(). */
export type PeriodCounts = {
  /** New messages; attempts with any message; messages accepted; messages that arrived for the first time. */
  offered: number
  attempts: number
  accepted: number
  forwarded: number
  /** Of the messages that arrived in this period. */
  delayP50Ms: number | null
  delayP99Ms: number | null
}

export type MailSummary = {
  /** Messages for which a sender got a 250. */
  accepted: number
  /** Accepted messages that arrived at the sink. */
  forwarded: number
  /** Arrivals of a message after its first. */
  duplicates: number
  /** Accepted, but neither arrived nor in the queue. */
  lost: number
  /** Accepted and still queued at the end. */
  queued: number
  /** 4xx replies, including the 421 of an instance that drains or is full. */
  refused: number
  refusedByCode: Record<string, number>
  /** 5xx replies. The sender gives the message up. */
  rejected: number
  /** Connections reset, broken, or closed without a 421. */
  resets: number
  resetReasons: Record<string, number>
  /** Messages that never got a 250. */
  givenUp: number
  /** Arrivals of mail that no sender of the storm sent, such as a DSN. */
  foreign: number
  /** From the fleet's 250 to the sink's 250. */
  delayMs: { p50: number; p99: number; max: number }
}

type LedgerEntry = { acceptedMs: number | null; arrivedMs: number | null }

export function createLedger() {
  const entries = new Map<string, LedgerEntry>()
  const totals = { duplicates: 0, rejected: 0, foreign: 0 }
  const refusedByCode: Record<string, number> = {}
  const resetReasons: Record<string, number> = {}
  let period = { offered: 0, attempts: 0, accepted: 0, forwarded: 0, delaysMs: [] as number[] }

  return {
    offered: (id: string) => {
      entries.set(id, { acceptedMs: null, arrivedMs: null })
      period.offered += 1
    },
    attempted: () => {
      period.attempts += 1
    },
    accepted: (id: string, atMs: number) => {
      const entry = entries.get(id)
      if (!entry || entry.acceptedMs !== null) return
      entry.acceptedMs = atMs
      period.accepted += 1
    },
    refused: (code: number) => {
      refusedByCode[code] = (refusedByCode[code] ?? 0) + 1
    },
    rejected: () => {
      totals.rejected += 1
    },
    reset: (reason: string) => {
      resetReasons[reason] = (resetReasons[reason] ?? 0) + 1
    },
    arrived: (id: string, atMs: number) => {
      const entry = entries.get(id)
      if (!entry) {
        totals.foreign += 1
      } else if (entry.arrivedMs !== null) {
        totals.duplicates += 1
      } else {
        entry.arrivedMs = atMs
        period.forwarded += 1
        period.delaysMs.push(delayOf(entry) ?? 0)
      }
    },
    takePeriod: (): PeriodCounts => {
      const { delaysMs, ...counts } = period
      period = { offered: 0, attempts: 0, accepted: 0, forwarded: 0, delaysMs: [] }
      return { ...counts, delayP50Ms: percentile(delaysMs, 0.5), delayP99Ms: percentile(delaysMs, 0.99) }
    },
    /** Accepted messages that have not arrived. */
    underWay: (): number => [...entries.values()].filter(isUnderWay).length,
    /** @param queued entries that the queue still holds */
    summary: (queued: number): MailSummary =>
      summaryOf([...entries.values()], queued, { ...totals, refusedByCode, resetReasons }),
  }
}

type Totals = Pick<MailSummary, 'duplicates' | 'rejected' | 'foreign' | 'refusedByCode' | 'resetReasons'>

function summaryOf(all: readonly LedgerEntry[], queued: number, totals: Totals): MailSummary {
  const accepted = all.filter(({ acceptedMs }) => acceptedMs !== null)
  const underWay = accepted.filter(isUnderWay).length
  const delaysMs = accepted.map(delayOf).filter((delayMs) => delayMs !== null)
  return {
    ...totals,
    accepted: accepted.length,
    forwarded: accepted.length - underWay,
    lost: Math.max(0, underWay - queued),
    queued: Math.min(underWay, queued),
    refused: sum(totals.refusedByCode),
    resets: sum(totals.resetReasons),
    givenUp: all.length - accepted.length,
    delayMs: {
      p50: percentile(delaysMs, 0.5) ?? 0,
      p99: percentile(delaysMs, 0.99) ?? 0,
      max: percentile(delaysMs, 1) ?? 0,
    },
  }
}

function isUnderWay({ acceptedMs, arrivedMs }: LedgerEntry): boolean {
  return acceptedMs !== null && arrivedMs === null
}

/** A message may arrive before its sender has read the 250. Its delay is 0. */
function delayOf({ acceptedMs, arrivedMs }: LedgerEntry): number | null {
  if (arrivedMs === null) return null
  return acceptedMs === null ? 0 : Math.max(0, arrivedMs - acceptedMs)
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0)
}
