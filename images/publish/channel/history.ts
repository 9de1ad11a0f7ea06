// Reads a channel's history: which images were good, for how long, and which one a revert returns to. Pure.
import type { ChannelVersion } from './channel.ts'

/** The time of a good image in a channel. `untilMs` is null for the current image. */
export type ChannelStay = { imageId: string; digest: string | null; sinceMs: number; untilMs: number | null }

/**
 * The good images, oldest first. The last one is the channel's current image. A revert or a rollback removes the image that
 * it leaves. That image counts as good again only after a new promotion.
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
    // A failed promotion lasted only seconds. It did not end a stay.
    const sinceMs = by === 'rollback' && earlier ? earlier.sinceMs : atMs
    stays.push({ imageId, digest: note?.digest ?? earlier?.digest ?? null, sinceMs, untilMs: null })
  }
  return stays
}

/** The last good image before the current one; null when there is none. */
export function previousGood(moves: readonly ChannelVersion[]): ChannelStay | null {
  const stays = goodChannelStays(moves)
  const current = stays.at(-1)
  return stays.findLast(({ imageId }) => imageId !== current?.imageId) ?? null
}

/** The longest unbroken time of the image in the channel as a good image, in ms. */
export function longestStayMs(moves: readonly ChannelVersion[], imageId: string, nowMs: number): number {
  const lengths = goodChannelStays(moves)
    .filter((stay) => stay.imageId === imageId)
    .map(({ sinceMs, untilMs }) => (untilMs ?? nowMs) - sinceMs)
  return Math.max(0, ...lengths)
}
