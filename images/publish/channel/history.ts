// Reads a channel's history: which images were good, for how long, and which one a revert returns to. Pure.
import type { ChannelVersion } from './channel.ts'

/** An image's time in a channel that was not taken back. `untilMs` is null while it is the channel's. */
export type ChannelStay = { imageId: string; digest: string | null; sinceMs: number; untilMs: number | null }

/**
 * Images that were good, oldest first; the last one is the channel's now. A revert or a rollback takes away what it went
 * back from: those never count as good again unless they are promoted again.
 */
export function goodChannelStays(moves: readonly ChannelVersion[]): ChannelStay[] {
  const stays: ChannelStay[] = []
  for (const { imageId, atMs, note } of moves) {
    const current = stays.at(-1)
    if (current?.imageId === imageId) continue
    const by = note?.by ?? 'promote'
    const at = by === 'promote' ? -1 : stays.findLastIndex((stay) => stay.imageId === imageId)
    const earlier = stays[at]
    if (by !== 'promote') stays.length = earlier ? at : Math.max(0, stays.length - 1)
    else if (current) current.untilMs = atMs
    // A failed promotion was gone again within seconds: it ended no stay.
    const sinceMs = by === 'rollback' && earlier ? earlier.sinceMs : atMs
    stays.push({ imageId, digest: note?.digest ?? earlier?.digest ?? null, sinceMs, untilMs: null })
  }
  return stays
}

/** The last one before the channel's own that was good; null when there is none. */
export function previousGood(moves: readonly ChannelVersion[]): ChannelStay | null {
  const stays = goodChannelStays(moves)
  const current = stays.at(-1)
  return stays.findLast(({ imageId }) => imageId !== current?.imageId) ?? null
}

/** How long the image was in the channel at the longest, in one piece and without being taken back, in ms. */
export function longestStayMs(moves: readonly ChannelVersion[], imageId: string, nowMs: number): number {
  const lengths = goodChannelStays(moves)
    .filter((stay) => stay.imageId === imageId)
    .map(({ sinceMs, untilMs }) => (untilMs ?? nowMs) - sinceMs)
  return Math.max(0, ...lengths)
}
