// Writes tar archives in the POSIX ustar format. Equal content gives equal bytes: sorted, with one date, owned by root.
// Owns: writing an archive, and joining several into one. Fails on a path too long for the format.
import { createReadStream, createWriteStream, readFileSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { once } from 'node:events'

const BLOCK = 512

export type TarEntry = {
  /** Relative to the root, without a leading slash. */
  path: string
  mode?: number
  uid?: number
  gid?: number
} & ({ content: string | Uint8Array } | { file: string } | { link: string } | { directory: true })

/** Writes entries as a tar, with the folders above them (0755) unless an entry names them. Adds no final zero blocks. */
export async function writeTar(
  file: string,
  entries: readonly TarEntry[],
  mtimeSeconds: number,
): Promise<void> {
  const output = createWriteStream(file, { flush: true })
  for (const entry of withParents(entries)) {
    const size = sizeOf(entry)
    output.write(header(entry, size, mtimeSeconds))
    if ('content' in entry) output.write(entry.content)
    else if ('file' in entry) {
      for await (const chunk of createReadStream(entry.file) as AsyncIterable<Buffer>) {
        if (!output.write(chunk)) await once(output, 'drain')
      }
    }
    output.write(Buffer.alloc(padding(size)))
  }
  output.end()
  await once(output, 'close')
}

/**
 * Joins archives into one, which unpacks as if the later were unpacked over the earlier. A reader stops at zero blocks, so
 * those of each archive are removed, and two are added at the end.
 */
export async function joinTars(file: string, archives: readonly string[]): Promise<void> {
  const output = createWriteStream(file, { flush: true })
  for (const archive of archives) {
    const end = (await lengthOfEntries(archive)) - 1
    if (end < 0) continue
    for await (const chunk of createReadStream(archive, {
      end,
      highWaterMark: 1 << 20,
    }) as AsyncIterable<Buffer>) {
      if (!output.write(chunk)) await once(output, 'drain')
    }
  }
  output.end(Buffer.alloc(2 * BLOCK))
  await once(output, 'close')
}

async function lengthOfEntries(archive: string): Promise<number> {
  const handle = await open(archive)
  try {
    const { size } = await handle.stat()
    const block = Buffer.alloc(BLOCK)
    let at = 0
    while (at + BLOCK <= size) {
      await handle.read(block, 0, BLOCK, at)
      if (block.every((byte) => byte === 0)) break
      const bytes = parseInt(block.toString('latin1', 124, 135).trim(), 8)
      at += BLOCK + bytes + padding(bytes)
    }
    return at
  } finally {
    await handle.close()
  }
}

function withParents(entries: readonly TarEntry[]): TarEntry[] {
  const all = new Map<string, TarEntry>()
  for (const { path } of entries) {
    const parts = path.split('/')
    for (let depth = 1; depth < parts.length; depth++) {
      const parent = parts.slice(0, depth).join('/')
      all.set(parent, { path: parent, directory: true })
    }
  }
  for (const entry of entries) all.set(entry.path, entry)
  return [...all.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}

function sizeOf(entry: TarEntry): number {
  if ('content' in entry) return Buffer.byteLength(entry.content)
  return 'file' in entry ? statSync(entry.file).size : 0
}

const padding = (size: number) => (BLOCK - (size % BLOCK)) % BLOCK

/** POSIX.1-1988 ustar header: name 0-99, prefix 345-499, numbers in octal, checksum with its own field as spaces. */
function header(entry: TarEntry, size: number, mtimeSeconds: number): Buffer {
  const isDirectory = 'directory' in entry
  const isLink = 'link' in entry
  const block = Buffer.alloc(BLOCK)
  const octal = (value: number, at: number, width: number) =>
    block.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at, 'latin1')
  const { name, prefix } = splitPath(`./${entry.path}${isDirectory ? '/' : ''}`)
  block.write(name, 0, 'utf8')
  octal(entry.mode ?? (isDirectory ? 0o755 : isLink ? 0o777 : 0o644), 100, 8)
  octal(entry.uid ?? 0, 108, 8)
  octal(entry.gid ?? 0, 116, 8)
  octal(size, 124, 12)
  octal(mtimeSeconds, 136, 12)
  block.write(' '.repeat(8), 148, 'latin1')
  block.write(isDirectory ? '5' : isLink ? '2' : '0', 156, 'latin1')
  if (isLink) block.write(entry.link, 157, 100, 'utf8')
  block.write('ustar\x0000', 257, 'latin1')
  block.write(prefix, 345, 'utf8')
  const checksum = block.reduce((sum, byte) => sum + byte, 0)
  block.write(`${checksum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

function splitPath(path: string): { name: string; prefix: string } {
  if (Buffer.byteLength(path) <= 100) return { name: path, prefix: '' }
  for (let at = path.indexOf('/'); at !== -1 && at < path.length - 1; at = path.indexOf('/', at + 1)) {
    const [prefix, name] = [path.slice(0, at), path.slice(at + 1)]
    if (Buffer.byteLength(prefix) <= 155 && Buffer.byteLength(name) <= 100) return { name, prefix }
  }
  throw new Error(`path too long for a tar header: ${path}`)
}

/** An entry for a file on disk, executable when the file is. */
export function fileEntry(path: string, file: string): TarEntry {
  return { path, content: readFileSync(file), mode: statSync(file).mode & 0o100 ? 0o755 : 0o644 }
}
