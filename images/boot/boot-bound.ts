// The time limits of a boot: one in total, and one without a sign of life from the guest.
// Owns both limits and the text of their errors. It counts one look a second, so a suspended host does not fail the guest.
import { statSync } from 'node:fs'
import type { RunningMachine } from './qemu/machine.ts'

/**
 * `timeoutMs` bounds one boot. Emulated on two idle cores the longest takes about a minute, on a busy machine many times
 * that. `quietMs` bounds the time without a sign of life. Its longest on two idle cores is 5 s, while Node starts.
 */
export const DEFAULT_BOUNDS = { timeoutMs: 1_800_000, quietMs: 180_000 }

export type BootBounds = { timeoutMs: number; quietMs: number }

const LOOK_MS = 1_000

const ADVICE =
  'An emulated guest is slow on a busy machine. Run this again when the machine is idle, on a machine with /dev/kvm, ' +
  'or give each boot longer: --timeout SECONDS.'

/** Counters that change while the guest makes progress. */
export type Signs = () => Promise<string>

/** A guest that prints, reads, writes or sends makes progress. */
export function signsOf({ console, qmp }: Pick<RunningMachine, 'console' | 'qmp'>, capture?: string): Signs {
  return async () => {
    const frames = capture === undefined ? 0 : (statSync(capture, { throwIfNoEntry: false })?.size ?? 0)
    return JSON.stringify([console.bytes(), frames, await qmp.diskOperations()])
  }
}

/**
 * Watches a guest until `stop` is called.
 * @param onOver called once, with an error that names the limit and what helps
 */
export function watchBounds(
  signs: Signs,
  { timeoutMs, quietMs }: BootBounds,
  onOver: (error: Error) => void,
) {
  let [last, waitedMs, silentMs] = ['', 0, 0]
  let isLooking = false
  const timer = setInterval(() => {
    waitedMs += LOOK_MS
    silentMs += LOOK_MS
    if (silentMs >= quietMs) return over(quietError(quietMs))
    if (waitedMs >= timeoutMs) return over(timeoutError(timeoutMs))
    if (!isLooking) void look()
  }, LOOK_MS)
  // A machine that does not answer shows no sign of life.
  const look = async () => {
    isLooking = true
    const seen = await signs().catch(() => last)
    isLooking = false
    if (seen !== last) silentMs = 0
    last = seen
  }
  const over = (error: Error) => {
    clearInterval(timer)
    onOver(error)
  }
  return { stop: () => clearInterval(timer) }
}

export const timeoutError = (timeoutMs: number) =>
  new Error(`not done after ${timeoutMs / 1000} s, while the guest was still at work. ${ADVICE}`)

const quietError = (quietMs: number) =>
  new Error(
    `the guest printed, read, wrote and sent nothing for ${quietMs / 1000} s. It hangs, or the machine does not let it run. ${ADVICE}`,
  )
