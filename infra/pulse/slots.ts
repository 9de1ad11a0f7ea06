// The pulse's rhythm: absolute slots of 10 s, the same for every invocation. Owns: which slots an invocation works.
// Pure. Two invocations that overlap work the same slot under the same timestamp, which harms nothing: whoever reads
// the metrics asks for an average, a minimum or a maximum, never for a sum.

/** Length of a slot, and the period of target tracking: one of the 10, 30 and 60 s that it can read. */
export const SLOT_MS = 10_000

/** Start of the slot that holds `nowMs`, ms since the epoch. */
export function slotOf(nowMs: number): number {
  return Math.floor(nowMs / SLOT_MS) * SLOT_MS
}

/**
 * The slots of an invocation, by their start: the one that holds now and every later one that begins while there is
 * still a whole slot's time to work it in. With 70 s that is seven slots for six between two invocations of a minute:
 * the seventh covers a scheduler that is up to 10 s late.
 * @param deadlineMs when the invocation's time is up, on the same clock
 */
export function slotsUntil(nowMs: number, deadlineMs: number): number[] {
  const slots: number[] = []
  for (let slot = slotOf(nowMs); Math.max(slot, nowMs) + SLOT_MS <= deadlineMs; slot += SLOT_MS)
    slots.push(slot)
  return slots
}
