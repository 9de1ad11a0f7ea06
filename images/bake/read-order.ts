// Decides which files are placed together on the disk. A new EBS volume loads its snapshot in blocks of 512
// KiB, so the files that a boot reads are stored next to each other. boot-files.txt lists these files. A file
// missing there is only slower to read.
import type { TarMember } from '../formats/tar-reader.ts'

/** Lines of a list of paths, without comments. */
export function pathsOf(list: string): string[] {
  return list.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
}

/** Drops versions and architectures from names, so that the list need not change with every update. */
const withoutVersions = (path: string) =>
  path
    .replace(/\b(x86_64|aarch64)-linux-gnu\b/, '')
    .replace(/ld-linux-(x86-64|aarch64)/, '')
    .replace(/cloud-(amd64|arm64)/, '')
    .replaceAll(/\d+/g, '0')

/**
 * The members of an archive in two parts: the files that a boot reads, with all folders and links, and the rest, with
 * the folders again. mkfs.erofs, when it adds to a file system, gives a folder that its archive does not name the mode
 * 0777. If a path occurs twice, the later member counts.
 */
export function inReadOrder(
  members: readonly TarMember[],
  readAtBoot: readonly string[],
): [TarMember[], TarMember[]] {
  const boot = new Set(readAtBoot.map(withoutVersions))
  const last = [...new Map(members.map((member) => [member.path, member])).values()]
  const isFile = new Set(last.filter(({ type }) => type === 'file').map(({ path }) => path))
  // A hard link goes into the part of its file.
  const isFirst = ({ path, type, link }: TarMember) => {
    const file = type === 'hardlink' ? link.replace(/^\.\//, '') : path
    return !isFile.has(file) || boot.has(withoutVersions(file))
  }
  return [last.filter(isFirst), last.filter((member) => member.type === 'directory' || !isFirst(member))]
}
