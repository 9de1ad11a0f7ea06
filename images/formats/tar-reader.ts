// Reads tar archives: our own (tar-writer.ts) and mmdebstrap's, which are ustar with pax headers (POSIX.1-2001) or, from
// older versions, GNU long names. Owns: the list of an archive's members, and their bytes. Fails on an archive that ends
// inside an entry.
import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'

const BLOCK = 512

export type TarMember = {
  /** Relative to the root, without a leading ./ and a trailing slash. */
  path: string
  type: 'file' | 'directory' | 'symlink' | 'hardlink' | 'device'
  mode: number
  uid: number
  gid: number
  /** Size of the content in bytes. */
  size: number
  /** The target of a symlink, the other path of a hard link, else ''. */
  link: string
  /** Names of extended attributes. A file's capabilities are security.capability. */
  xattrs: string[]
  /** Offset of the content in the archive. */
  contentAt: number
  /** The member's first byte in the archive, headers included, and the byte after its last. */
  startsAt: number
  endsAt: number
}

const TYPES: Partial<Record<string, TarMember['type']>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'device',
  '4': 'device',
  '5': 'directory',
  '6': 'device',
  '7': 'file',
}

/**
 * The archive's entries in their order. A path that occurs twice is listed twice, and the later entry counts.
 * @throws {Error} if the archive is truncated, or has an unknown kind of entry.
 */
export async function listTar(archive: string): Promise<TarMember[]> {
  const handle = await open(archive)
  try {
    const members: TarMember[] = []
    let extended = new Map<string, string>()
    let startsAt = 0
    for (let at = 0; ;) {
      const header = await bytesAt(handle, archive, at, BLOCK)
      if (header.every((byte) => byte === 0)) return members
      const kind = String.fromCharCode(header[156] ?? 0)
      const size = Number(extended.get('size') ?? number(header, 124, 12))
      const contentAt = at + BLOCK
      at = contentAt + Math.ceil(size / BLOCK) * BLOCK
      if ('xgLK'.includes(kind)) {
        const content = (await bytesAt(handle, archive, contentAt, size)).toString()
        if (kind === 'x') extended = new Map([...extended, ...paxRecords(content)])
        if (kind === 'L') extended.set('path', untilNul(content))
        if (kind === 'K') extended.set('linkpath', untilNul(content))
        continue
      }
      const type = TYPES[kind]
      if (type === undefined)
        throw new Error(`${archive}: an entry of the unknown kind ${kind} at ${startsAt}`)
      members.push({ ...described(header, extended), type, size, contentAt, startsAt, endsAt: at })
      extended = new Map()
      startsAt = at
    }
  } finally {
    await handle.close()
  }
}

function described(header: Buffer, extended: ReadonlyMap<string, string>) {
  const text = (at: number, width: number) => untilNul(header.toString('utf8', at, at + width))
  const [prefix, name] = [text(345, 155), text(0, 100)]
  const path = extended.get('path') ?? (prefix === '' ? name : `${prefix}/${name}`)
  return {
    path: path.replace(/^\.?\/+/, '').replace(/\/+$/, ''),
    mode: number(header, 100, 8),
    uid: number(header, 108, 8),
    gid: number(header, 116, 8),
    link: extended.get('linkpath') ?? text(157, 100),
    xattrs: [...extended.keys()].flatMap(
      (key) => /^(?:SCHILY|LIBARCHIVE)\.xattr\.(.*)$/.exec(key)?.[1] ?? [],
    ),
  }
}

const number = (header: Buffer, at: number, width: number) =>
  parseInt(untilNul(header.toString('latin1', at, at + width)).trim() || '0', 8)

const untilNul = (text: string) => text.split('\0', 1)[0] ?? ''

/** `LENGTH KEY=VALUE\n`. The length counts bytes and includes itself. */
function paxRecords(content: string): [string, string][] {
  const bytes = Buffer.from(content)
  const records: [string, string][] = []
  for (let at = 0; at < bytes.length;) {
    const length = parseInt(bytes.toString('latin1', at, at + 20), 10)
    if (!(length > 0)) break
    const record = bytes.toString('utf8', at, at + length - 1)
    const equals = record.indexOf('=')
    records.push([record.slice(record.indexOf(' ') + 1, equals), record.slice(equals + 1)])
    at += length
  }
  return records
}

/** The content of one file of the archive, as text. */
export async function textOf(archive: string, { contentAt, size }: TarMember): Promise<string> {
  const handle = await open(archive)
  try {
    return (await bytesAt(handle, archive, contentAt, size)).toString()
  } finally {
    await handle.close()
  }
}

/** Writes some of an archive's members as a new archive, in the given order. */
export async function copyMembers(archive: string, members: readonly TarMember[], to: string): Promise<void> {
  const output = createWriteStream(to, { flush: true })
  for (const { startsAt, endsAt } of members) {
    const bytes = createReadStream(archive, { start: startsAt, end: endsAt - 1, highWaterMark: 1 << 20 })
    for await (const chunk of bytes as AsyncIterable<Buffer>) {
      if (!output.write(chunk)) await once(output, 'drain')
    }
  }
  output.end(Buffer.alloc(2 * BLOCK))
  await once(output, 'close')
}

async function bytesAt(handle: FileHandle, archive: string, at: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  const { bytesRead } = await handle.read(buffer, 0, length, at)
  if (bytesRead !== length) throw new Error(`${archive}: cut short: nothing at ${at + bytesRead}`)
  return buffer
}
