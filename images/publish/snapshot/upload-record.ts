// upload.REGION.json beside an image's disk: the blocks that AWS acknowledged, since a pending snapshot cannot be read.
// It counts only for the snapshot that it names. If it is lost, unreadable or old, blocks are sent again.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { writeFileAtomic } from '../../../platform/atomic-file.ts'

const Recorded = v.strictObject({
  format: v.literal(1),
  snapshotId: v.string(),
  /** Indexes of the blocks. */
  done: v.array(v.pipe(v.number(), v.integer())),
})

/** Every so many blocks: 32 MiB to send again at the most, and a write in some seconds at the fastest. */
const BLOCKS_BETWEEN = 64

export type UploadRecord = ReturnType<typeof uploadRecord>

/** The record of what this snapshot has taken, as an earlier run left it. */
export function uploadRecord(folder: string, { region, snapshotId }: { region: string; snapshotId: string }) {
  const file = join(folder, `upload.${region}.json`)
  const done = new Set(read(file, snapshotId))
  let unsaved = 0
  const save = () => {
    if (unsaved === 0) return
    unsaved = 0
    const recorded = { format: 1, snapshotId, done: [...done].sort((a, b) => a - b) }
    writeFileAtomic(file, `${JSON.stringify(recorded)}\n`)
  }
  return {
    has: (index: number) => done.has(index),
    add: (index: number) => {
      done.add(index)
      if (++unsaved >= BLOCKS_BETWEEN) save()
    },
    save,
    /** For a snapshot that is complete, or does not hold what it was said to. */
    forget: () => {
      done.clear()
      unsaved = 0
      rmSync(file, { force: true })
    },
  }
}

function read(file: string, snapshotId: string): number[] {
  if (!existsSync(file)) return []
  try {
    const recorded = v.parse(Recorded, JSON.parse(readFileSync(file, 'utf8')))
    return recorded.snapshotId === snapshotId ? recorded.done : []
  } catch {
    return []
  }
}
