// Makes a spool disk: a raw file with an empty ext4 file system. The guest finds it by its label.
// Fails with mke2fs's message.
import { closeSync, ftruncateSync, openSync } from 'node:fs'
import { execa } from 'execa'

/** The label by which an image mounts its spool. */
const LABEL = 'mailfleet-spool'

/** Makes a spool disk of `sizeBytes`. `file` must not exist. It occupies only the space that is written. */
export async function makeSpoolDisk(file: string, sizeBytes: number): Promise<void> {
  const descriptor = openSync(file, 'wx', 0o600)
  ftruncateSync(descriptor, sizeBytes)
  closeSync(descriptor)
  const argv = ['-q', ['-t', 'ext4'], ['-L', LABEL], file].flat()
  // The PATH of an ordinary user often lacks the folder of administration tools.
  await execa('mke2fs', argv, { env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` } })
}
