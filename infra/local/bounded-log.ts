// An instance's log in two files of bounded size. The newest lines stay, and the disk never fills.
// A failed write drops and counts its lines: an instance's output waits for this stream, and a full disk must not stop it.
import { open, rename, type FileHandle } from 'node:fs/promises'
import { Writable } from 'node:stream'

/** Two files of 4 MiB: about 40,000 lines of 200 bytes, several minutes of a storm for one instance. */
const MAX_FILE_BYTES = 4 * 1024 * 1024

/**
 * Writes to `file`. A full file is renamed to `file`.1, and a new one begins.
 * Never emits an error; `dropped()` counts the chunks that could not be written.
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
