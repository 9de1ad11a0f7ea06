// Time slots of the queue pulse: 10 s each, aligned to the epoch. Pure. Decides which slots an invocation works.
// Overlapping invocations may work the same slot and write the same timestamp twice. That is harmless: alarms and
// policies ask for an average, minimum, maximum or any sample at all, never for a sum.

/** Length of a slot and period of target tracking, which can read 10, 30 and 60 s. */
export const SLOT_MS = 10_000

/**
 * How long an invocation works. EventBridge Scheduler starts it within 60 s after its minute, so two starts may be
 * 120 s apart. The last 10 s are reserve for Lambda's own delay.
 */
export const INVOCATION_MS = 130_000
/**
 * How many invocations may run at once. Of four consecutive starts, the first may be 59 s late and the last on time:
 * they are 121 s apart.
 */
export const INVOCATIONS_AT_ONCE = 4

/** Start of the slot that contains `nowMs`, ms since the epoch. */
export function slotOf(nowMs: number): number {
  return Math.floor(nowMs / SLOT_MS) * SLOT_MS
}

/**
 * The starts of an invocation's slots: the current slot and each later one, as long as 10 s remain to work it.
 * @param deadlineMs when the invocation's time ends, on the same clock
 */
export function slotsUntil(nowMs: number, deadlineMs: number): number[] {
  const slots: number[] = []
  for (let slot = slotOf(nowMs); Math.max(slot, nowMs) + SLOT_MS <= deadlineMs; slot += SLOT_MS)
    slots.push(slot)
  return slots
}
