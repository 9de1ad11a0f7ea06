// The pulse's rhythm: absolute slots of 10 s, the same for every invocation. Owns: which slots an invocation works.
// Pure. Two invocations that overlap work the same slot under the same timestamp. That harms nothing: alarms and
// policies ask for an average, a minimum, a maximum, or whether there is a sample at all, never for a sum.

/** Length of a slot, and the period of target tracking: one of the 10, 30 and 60 s that it can read. */
export const SLOT_MS = 10_000

/**
 * How long an invocation works. EventBridge Scheduler starts it within the 60 s after its minute, so two starts may be
 * 120 s apart. The last 10 s are for Lambda's own delay.
 */
export const INVOCATION_MS = 130_000
/**
 * How many invocations may run at once: of four starts in a row, the first may be 59 s late and the last on time, 121 s
 * apart.
 */
export const INVOCATIONS_AT_ONCE = 4

/** Start of the slot that holds `nowMs`, ms since the epoch. */
export function slotOf(nowMs: number): number {
  return Math.floor(nowMs / SLOT_MS) * SLOT_MS
}

/**
 * The slots of an invocation, by their start: the one that holds now and every later one that begins while there is
 * still a whole slot's time to work it in.
 * @param deadlineMs when the invocation's time is up, on the same clock
 */
export function slotsUntil(nowMs: number, deadlineMs: number): number[] {
  const slots: number[] = []
  for (let slot = slotOf(nowMs); Math.max(slot, nowMs) + SLOT_MS <= deadlineMs; slot += SLOT_MS)
    slots.push(slot)
  return slots
}
