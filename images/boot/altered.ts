// An image with one altered byte must refuse to boot. Owns the altered copy, and the check of the refusal.
// Fails if the guest serves, does not end, or ends without naming the altered block.
import { closeSync, constants, copyFileSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { signsOf, watchBounds, type BootBounds } from './boot-bound.ts'
import { findEvent } from './qemu/console.ts'
import { startMachine } from './qemu/machine.ts'
import type { QemuMachine } from './qemu/arguments.ts'
import { failure } from './watch.ts'

/** dm-verity prints the block, and the kernel panics (kernel documentation, verity.rst: panic_on_corruption). */
const NOTICED = /device-mapper: verity: .*corrupted/

/** Copies the disk with one bit of the byte at `offset` flipped. */
export function alteredCopy(disk: string, folder: string, offset: number): string {
  const copy = join(folder, 'altered.raw')
  copyFileSync(disk, copy, constants.COPYFILE_FICLONE)
  const file = openSync(copy, 'r+')
  try {
    const byte = Buffer.alloc(1)
    readSync(file, byte, 0, 1, offset)
    writeSync(file, Buffer.from([byte.readUInt8() ^ 1]), 0, 1, offset)
  } finally {
    closeSync(file)
  }
  return copy
}

/**
 * Boots a machine with an altered disk, and waits for its end.
 * @throws {Error} unless it ended by itself, printed the altered block, and never listened
 */
export async function refusesToBoot(
  machine: QemuMachine,
  o: BootBounds & { workDir: string; signal?: AbortSignal | undefined },
): Promise<void> {
  const running = await startMachine(machine, { workDir: o.workDir })
  const cut = () => void running.kill()
  o.signal?.addEventListener('abort', cut, { once: true })
  if (o.signal?.aborted) cut()
  let late: Error | undefined
  const watched = watchBounds(signsOf(running), o, (error) => {
    late = error
    cut()
  })
  const { signal } = await running.ended
  watched.stop()
  o.signal?.removeEventListener('abort', cut)
  o.signal?.throwIfAborted()
  const lines = running.console.lines()
  const noticed = lines.some(({ text }) => NOTICED.test(text))
  if (findEvent(lines, 'listening') !== null)
    throw failure('with one byte of its root altered it served all the same', running)
  if (late !== undefined)
    throw failure(`with one byte of its root altered it did not end: ${late.message}`, running)
  if (signal !== undefined && signal !== null)
    throw failure(`with one byte of its root altered it ended by ${signal}`, running)
  if (!noticed) throw failure('with one byte of its root altered it ended without naming the block', running)
}
