// Which files lie together on the disk. A volume fresh from a snapshot fetches 512 KiB at a time, so what a boot reads
// lies in one place, and what it does not in another. Owns: that choice. Pure. What a boot reads is listed in
// boot-files.txt; a file that is missing there lies farther off, and nothing else is wrong.
import type { TarMember } from '../formats/tar-reader.ts'

/** Lines of a list of paths, without comments. */
export function pathsOf(list: string): string[] {
  return list.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
}

/** Versions in the names of libraries and kernels change with every update, and architectures differ; the list need not. */
const withoutVersions = (path: string) =>
  path
    .replace(/\b(x86_64|aarch64)-linux-gnu\b/, '')
    .replace(/ld-linux-(x86-64|aarch64)/, '')
    .replace(/cloud-(amd64|arm64)/, '')
    .replaceAll(/\d+/g, '0')

/**
 * The members of an archive in two parts: what a boot reads, with all that has no content of its own (folders, links),
 * and the rest, with the folders again: mkfs.erofs, adding to a file system, gives a folder that its archive does not
 * name the mode 0777. Of a path that comes twice the later one counts.
 */
export function inReadOrder(
  members: readonly TarMember[],
  readAtBoot: readonly string[],
): [TarMember[], TarMember[]] {
  const boot = new Set(readAtBoot.map(withoutVersions))
  const last = [...new Map(members.map((member) => [member.path, member])).values()]
  const isFile = new Set(last.filter(({ type }) => type === 'file').map(({ path }) => path))
  // A hard link goes where its file goes.
  const isFirst = ({ path, type, link }: TarMember) => {
    const file = type === 'hardlink' ? link.replace(/^\.\//, '') : path
    return !isFile.has(file) || boot.has(withoutVersions(file))
  }
  return [last.filter(isFirst), last.filter((member) => member.type === 'directory' || !isFirst(member))]
}
