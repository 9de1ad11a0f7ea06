// An instance's output, kept in two files of bounded size: the newest lines are always there, the disk never fills.
// Owns: the rotation. When the disk refuses a write the lines are dropped and counted: a full disk must not stop an
// instance, whose output waits for this stream.
import { open, rename, type FileHandle } from 'node:fs/promises'
import { Writable } from 'node:stream'

/** Two files of 4 MiB: about 40,000 lines of 200 bytes, some minutes of a storm for one instance. */
const MAX_FILE_BYTES = 4 * 1024 * 1024

/**
 * A stream into `file`; when it is full it becomes `file`.1 and a new one begins.
 * Never emits an error; `dropped()` tells how many chunks could not be written.
 */
export function boundedLog(
  file: string,
  maxFileBytes = MAX_FILE_BYTES,
): Writable & { dropped: () => number } {
  let handle: FileHandle | undefined
  let sizeBytes = 0
  let dropped = 0
  const write = async (chunk: Buffer): Promise<void> => {
    if (handle && sizeBytes + chunk.length > maxFileBytes) {
      await handle.close()
      handle = undefined
      await rename(file, `${file}.1`)
    }
    if (!handle) {
      handle = await open(file, 'w')
      sizeBytes = 0
    }
    const { bytesWritten } = await handle.write(chunk)
    sizeBytes += bytesWritten
  }
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      write(chunk)
        .catch(() => (dropped += 1))
        .then(() => done(), done)
    },
    final(done) {
      Promise.resolve(handle?.close()).then(
        () => done(),
        () => done(),
      )
    },
  })
  return Object.assign(stream, { dropped: () => dropped })
}
