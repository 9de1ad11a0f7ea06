// Makes a folder and those above it. Owns: that the call ends where a folder cannot be made, such as below /proc.
// mkdir's own `recursive` never returns from there (Node 26). Fails with the file system's error.
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

/** Makes the folder unless it is there. */
export async function makeFolder(path: string): Promise<void> {
  if (existsSync(path)) return
  await makeFolder(dirname(resolve(path)))
  try {
    await mkdir(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}
