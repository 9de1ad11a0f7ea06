// An archive in a directory: a disk, a network share, or a folder that a web server serves. Each write is atomic.
// Fails with the file system's error, or with InputError when the directory cannot be written to.
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { InputError } from '../../input/problems.ts'
import { hashFile } from '../cache.ts'
import { makeFolder, writeFileAtomic } from '../../platform/atomic-file.ts'
import { objectKey, objectNameOf, type Archive } from './file-source.ts'

/** The archive in `folder`, which need not exist before the first write. */
export function directoryArchive(folder: string): Archive {
  const root = resolve(folder)
  return {
    role: 'archive',
    name: `archive ${root}`,
    open: async (file) => {
      const path = join(root, objectKey(objectNameOf(file)))
      if (await isAbsent(path)) return absentFrom(root)
      return createReadStream(path)
    },
    has: async (object, sizeBytes) => {
      const path = join(root, objectKey(object))
      if (await isAbsent(path)) return false
      if ((await stat(path)).size !== sizeBytes) return false
      return (await hashFile(path, object.algorithm)) === object.hex
    },
    prepare: () => requireWritable(root),
    put: (object, content) => writeWhole(join(root, objectKey(object)), content),
    putLock: (hex, text) => writeWhole(join(root, 'locks', `${hex}.json`), Buffer.from(text)),
  }
}

/** A missing directory is an error, because the share may not be mounted. */
async function absentFrom(root: string): Promise<null> {
  if (await isAbsent(root)) throw new Error(`there is no folder ${root}`)
  return null
}

async function isAbsent(path: string): Promise<boolean> {
  try {
    await access(path)
    return false
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return true
    throw error
  }
}

/** Writes a file and removes it. File modes say too little: root may write by every mode, but not below /proc. */
async function requireWritable(root: string): Promise<void> {
  const probe = join(root, `${randomBytes(4).toString('hex')}.tmp`)
  try {
    await writeWhole(probe, Buffer.of())
    await rm(probe)
  } catch (cause) {
    const found = `${(cause as NodeJS.ErrnoException).code ?? String(cause)} for ${root}`
    const expected = 'a directory that can be written to'
    throw new InputError('the archive', [{ key: 'target', found, expected }], { cause })
  }
}

async function writeWhole(path: string, content: Uint8Array): Promise<void> {
  makeFolder(dirname(path))
  writeFileAtomic(path, content)
  return Promise.resolve()
}
