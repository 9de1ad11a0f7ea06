// Writes a cpio archive in the "newc" format, which the kernel unpacks as an initrd (kernel:
// Documentation/driver-api/early-userspace/buffer-format). Equal entries give equal bytes. The archive is built in memory,
// because an initrd has a few megabytes.

export type CpioEntry = {
  path: string
  mode: number
  content?: string | Uint8Array
  device?: [number, number]
}

const FOLDER = 0o040755

/** File types in `mode`, as stat(2) has them. */
export const regularFile = (permissions: number) => 0o100000 | permissions
export const symbolicLink = 0o120777
export const characterDevice = (permissions: number) => 0o020000 | permissions

/** Serialises entries, with the folders above them, sorted by path, all dated 0 and owned by root. */
export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const all = new Map<string, CpioEntry>()
  for (const { path } of entries) {
    const parts = path.split('/')
    for (let depth = 1; depth < parts.length; depth++) {
      const parent = parts.slice(0, depth).join('/')
      all.set(parent, { path: parent, mode: FOLDER })
    }
  }
  for (const entry of entries) all.set(entry.path, entry)
  const sorted = [...all.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
  const records = sorted.map((entry, index) => record(entry, index + 1))
  return Buffer.concat([...records, record({ path: 'TRAILER!!!', mode: 0 }, 0)])
}

function record({ path, mode, content = '', device = [0, 0] }: CpioEntry, inode: number): Buffer {
  const data = Buffer.from(content)
  const name = Buffer.from(`${path}\0`)
  const links = 1
  const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, ...device, name.length, 0]
  const head = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`)
  return Buffer.concat([padded(Buffer.concat([head, name])), padded(data)])
}

const padded = (buffer: Buffer) => Buffer.concat([buffer, Buffer.alloc((4 - (buffer.length % 4)) % 4)])
