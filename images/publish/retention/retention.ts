// Which images stay and which go. Pure: takes an inventory, returns a verdict with reasons for each image and snapshot.
import { goodChannelStays } from '../channel/history.ts'
import type { Inventory, KnownImage } from './inventory.ts'

export type RetentionOptions = {
  /** The number of last good images to keep for each channel, with the current one. */
  keep: number
  /** How long an image stays after it was made, and again after it was deprecated. */
  graceMs: number
  nowMs: number
}

export type RetentionVerdict = {
  kind: 'image' | 'snapshot'
  id: string
  digest: string
  /** `deprecate` now, `delete` by a later run once it was deprecated for the time of grace. */
  action: 'keep' | 'deprecate' | 'delete'
  reasons: string[]
  /** Deleted after its image. */
  snapshotId?: string
}

/** A snapshot without an image may belong to a publication in progress. */
const DAY_MS = 86_400_000
/** Enough digits to tell images apart. */
const REFERENCES_SHOWN = 3

/** Decides about all images, and snapshots without an image, of a region. */
export function retentionVerdicts(inventory: Inventory, o: RetentionOptions): RetentionVerdict[] {
  const newest = new Set(newestOfEach(inventory.images).map(({ imageId }) => imageId))
  const images = inventory.images.map((image): RetentionVerdict => {
    const { imageId, digest, snapshotId } = image
    const known = {
      kind: 'image' as const,
      id: imageId,
      digest,
      ...(snapshotId === null ? {} : { snapshotId }),
    }
    const needed = [...channelReasons(inventory, imageId, o), ...useReasons(image)]
    if (newest.has(imageId)) needed.push('the newest: the parent of the next upload')
    return { ...known, ...(needed.length > 0 ? { action: 'keep', reasons: needed } : aged(image, o)) }
  })
  return [...images, ...orphans(inventory, o)]
}

function channelReasons({ channels }: Inventory, imageId: string, { keep }: RetentionOptions): string[] {
  return channels.flatMap(({ channel, moves }) => {
    // The current image stays even if a note of another program makes the history unreadable.
    if (moves.at(-1)?.imageId === imageId) return [`the image of channel ${channel}`]
    const good = new Set<string>()
    for (const stay of goodChannelStays(moves).toReversed()) if (good.size < keep) good.add(stay.imageId)
    return good.has(imageId) ? [`one of the last ${keep} good ones of channel ${channel}`] : []
  })
}

function useReasons({ references, sharedWith, state }: KnownImage): string[] {
  const shown = references.slice(0, REFERENCES_SHOWN).map((what) => `used by ${what}`)
  const more = references.length - shown.length
  return [
    ...(state === 'pending' ? ['being made'] : []),
    ...shown,
    ...(more > 0 ? [`and by ${more} more`] : []),
    ...(sharedWith > 0 ? [`shared with ${sharedWith} others, whose use cannot be seen`] : []),
  ]
}

function aged(
  { createdMs, deprecatedMs }: KnownImage,
  { graceMs, nowMs }: RetentionOptions,
): Pick<RetentionVerdict, 'action' | 'reasons'> {
  const day = (ms: number) => (Number.isNaN(ms) ? 'an unknown day' : new Date(ms).toISOString().slice(0, 10))
  const youngUntilMs = createdMs + graceMs
  // A time that is not a number keeps the image.
  if (!(nowMs >= youngUntilMs))
    return { action: 'keep', reasons: [`made on ${day(createdMs)}, not long ago`] }
  if (deprecatedMs === null)
    return { action: 'deprecate', reasons: ['used by nothing, and good in no channel of late'] }
  if (!(nowMs >= deprecatedMs + graceMs))
    return {
      action: 'keep',
      reasons: [`deprecated on ${day(deprecatedMs)}; goes after ${day(deprecatedMs + graceMs)}`],
    }
  return { action: 'delete', reasons: [`deprecated since ${day(deprecatedMs)}, and used by nothing`] }
}

function orphans({ images, snapshots }: Inventory, { nowMs }: RetentionOptions): RetentionVerdict[] {
  const rooted = new Set(images.map(({ snapshotId }) => snapshotId))
  return snapshots
    .filter(({ snapshotId }) => !rooted.has(snapshotId))
    .map(({ snapshotId, digest, startedMs }) => {
      const isOld = nowMs - startedMs > DAY_MS
      const reasons = [isOld ? 'no image stands on it' : 'no image stands on it yet; less than a day old']
      return { kind: 'snapshot', id: snapshotId, digest, action: isOld ? 'delete' : 'keep', reasons }
    })
}

function newestOfEach(images: readonly KnownImage[]): KnownImage[] {
  const newest = new Map<string, KnownImage>()
  for (const image of images) {
    const other = newest.get(image.architecture)
    if (other === undefined || image.createdMs > other.createdMs) newest.set(image.architecture, image)
  }
  return [...newest.values()]
}
