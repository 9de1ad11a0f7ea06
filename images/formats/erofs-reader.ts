// Reads the tree of an erofs: names, types, modes, owners, sizes and links, but no content of files, which is compressed.
// Owns: that part of the on-disk format (the kernel's fs/erofs/erofs_fs.h). Fails on a file that is no erofs, or on a folder
// whose layout mkfs.erofs does not use.
import { closeSync, openSync, readSync } from 'node:fs'

export type ErofsNode = {
  /** Relative to the root, without a leading slash. The root itself is ''. */
  path: string
  type: 'file' | 'directory' | 'symlink' | 'other'
  /** Permissions with setuid, setgid and sticky, without the type. */
  mode: number
  uid: number
  gid: number
  /** In bytes; 0 unless it is a file. */
  size: number
  /** For a symlink. */
  target?: string
  /** It has extended attributes. A file's capabilities are one. */
  hasXattrs: boolean
}

const SUPERBLOCK_AT = 1024
const MAGIC = 0xe0f5e1e2
const SLOT_BYTES = 32
const DIRENT_BYTES = 12
const S_IFMT = 0o170000
const TYPES: Partial<Record<number, ErofsNode['type']>> = {
  0o100000: 'file',
  0o040000: 'directory',
  0o120000: 'symlink',
}
const FLAT_PLAIN = 0
const FLAT_INLINE = 2

type Volume = { file: string; fd: number; blockBytes: number; metaAt: number }
type Inode = {
  at: number
  headBytes: number
  layout: number
  blockAddress: number
  node: Omit<ErofsNode, 'path'>
}

/**
 * Every node of the file system, sorted by path.
 * @throws {Error} when the file is no erofs, or is damaged
 */
export function listErofs(file: string): ErofsNode[] {
  const fd = openSync(file, 'r')
  try {
    const superblock = bytesAt({ file, fd }, SUPERBLOCK_AT, 128)
    if (superblock.readUInt32LE(0) !== MAGIC) throw new Error(`${file}: not an erofs`)
    const blockBytes = 2 ** superblock.readUInt8(12)
    const volume = { file, fd, blockBytes, metaAt: superblock.readUInt32LE(40) * blockBytes }
    const nodes: ErofsNode[] = []
    walk(volume, superblock.readUInt16LE(14), '', nodes)
    return nodes.sort((a, b) => (a.path < b.path ? -1 : 1))
  } finally {
    closeSync(fd)
  }
}

function walk(volume: Volume, nid: number, path: string, nodes: ErofsNode[]): void {
  const inode = readInode(volume, nid)
  nodes.push({ path, ...inode.node })
  if (inode.node.type !== 'directory') return
  for (const [name, child] of entriesOf(volume, inode))
    if (name !== '.' && name !== '..') walk(volume, child, path === '' ? name : `${path}/${name}`, nodes)
}

/** struct erofs_inode_compact (32 bytes) or, with bit 0 of the format, erofs_inode_extended (64 bytes). */
function readInode(volume: Volume, nid: number): Inode & { dataBytes: number } {
  const at = volume.metaAt + nid * SLOT_BYTES
  const raw = bytesAt(volume, at, 2 * SLOT_BYTES)
  const format = raw.readUInt16LE(0)
  const isExtended = (format & 1) === 1
  const xattrCount = raw.readUInt16LE(2)
  const xattrBytes = xattrCount === 0 ? 0 : 12 + 4 * (xattrCount - 1)
  const mode = raw.readUInt16LE(4)
  const type = TYPES[mode & S_IFMT] ?? 'other'
  const dataBytes = isExtended ? Number(raw.readBigUInt64LE(8)) : raw.readUInt32LE(8)
  const node = {
    type,
    mode: mode & ~S_IFMT,
    size: type === 'file' ? dataBytes : 0,
    hasXattrs: xattrCount > 0,
    uid: isExtended ? raw.readUInt32LE(24) : raw.readUInt16LE(24),
    gid: isExtended ? raw.readUInt32LE(28) : raw.readUInt16LE(26),
  }
  const headBytes = (isExtended ? 2 : 1) * SLOT_BYTES + xattrBytes
  const inode = {
    at,
    headBytes,
    layout: (format >> 1) & 7,
    blockAddress: raw.readUInt32LE(16),
    node,
    dataBytes,
  }
  if (type !== 'symlink') return inode
  return { ...inode, node: { ...node, target: dataOf(volume, inode, dataBytes).toString() } }
}

/** Content of a folder or link: whole blocks at the inode's block address, then the tail behind the inode. */
function dataOf(volume: Volume, inode: Inode, dataBytes: number): Buffer {
  const { file, blockBytes } = volume
  if (inode.layout !== FLAT_PLAIN && inode.layout !== FLAT_INLINE)
    throw new Error(`${file}: a folder or link of the layout ${inode.layout}, expected a flat one`)
  const inlined = inode.layout === FLAT_INLINE ? dataBytes % blockBytes : 0
  const blocks = bytesAt(volume, inode.blockAddress * blockBytes, dataBytes - inlined)
  return Buffer.concat([blocks, bytesAt(volume, inode.at + inode.headBytes, inlined)])
}

/** struct erofs_dirent: 12 bytes each at the start of a block, followed by the names. */
function entriesOf(volume: Volume, inode: Inode & { dataBytes: number }): [string, number][] {
  const data = dataOf(volume, inode, inode.dataBytes)
  const entries: [string, number][] = []
  for (let start = 0; start < data.length; start += volume.blockBytes) {
    const block = data.subarray(start, start + volume.blockBytes)
    const count = block.readUInt16LE(8) / DIRENT_BYTES
    const nameAt = (index: number) =>
      index < count ? block.readUInt16LE(index * DIRENT_BYTES + 8) : block.length
    for (let index = 0; index < count; index++) {
      const name = block.toString('utf8', nameAt(index), nameAt(index + 1)).split('\0', 1)[0] ?? ''
      entries.push([name, Number(block.readBigUInt64LE(index * DIRENT_BYTES))])
    }
  }
  return entries
}

function bytesAt({ file, fd }: Pick<Volume, 'file' | 'fd'>, at: number, length: number): Buffer {
  const buffer = Buffer.alloc(length)
  const read = readSync(fd, buffer, 0, length, at)
  // The last inode of the file has fewer bytes behind it than are requested.
  if (read < Math.min(length, SLOT_BYTES)) throw new Error(`${file}: cut short: nothing at ${at + read}`)
  return buffer
}
