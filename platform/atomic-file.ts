// Writes one file so that a reader sees the old content or the new, and a power cut keeps one of them. Owns: that file and
// folder are flushed. Fails with the file system's error, and leaves no draft behind.
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'

/** Writes the text, unless the file holds it already. */
export function writeDurably(file: string, text: string): void {
  if (existsSync(file) && readFileSync(file, 'utf8') === text) return
  const draft = draftOf(file)
  try {
    writeFileSync(draft, text, { flush: true })
    renameSync(draft, file)
  } catch (error) {
    rmSync(draft, { force: true })
    throw error
  }
  flushFolder(dirname(file))
}

/** A name beside the file that no other process or call takes. */
export const draftOf = (file: string) => `${file}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`

/** Makes the names in a folder durable (fsync(2)). */
export function flushFolder(folder: string): void {
  const descriptor = openSync(folder, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
