// The files that configure a root: /etc, units, and what systemd, udev and PAM read. Owns: which files these are, and how
// each is shown. Below /etc, a binary or unreadable file is shown by its hash. Elsewhere such a file is a program and left
// out. Fails with the file system's error.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A file of the root, as its list of files has it. */
export type ListedFile = {
  path: string
  type: string
  mode: string
  size?: number
  sha256?: string
  target?: string
}

const STARTS = [
  '/etc/',
  '/usr/lib/os-release',
  '/usr/lib/systemd/',
  '/usr/lib/udev/rules.d/',
  '/usr/lib/tmpfiles.d/',
  '/usr/lib/sysusers.d/',
  '/usr/lib/modules-load.d/',
  '/usr/lib/modprobe.d/',
  '/usr/lib/pam.d/',
  '/usr/share/dbus-1/',
]
/** Certificates come from a package, the linker's cache follows from the libraries, the catalog explains log lines. */
const LEFT_OUT = /^\/(etc\/(ssl\/certs\/|ld\.so\.cache$)|usr\/lib\/systemd\/catalog\/)/
const MAX_SHOWN_BYTES = 64 * 1024

/**
 * Path → text, or the target of a link.
 * @param tree folder of the extracted root
 */
export function configuration(tree: string, files: readonly ListedFile[]): Record<string, string> {
  const chosen = files.filter(({ path }) => isConfiguration(path))
  const texts = chosen.flatMap((file): [string, string][] => {
    if (file.type === 'symlink') return [[file.path, `→ ${file.target ?? ''}`]]
    const text = file.type === 'file' ? shownText(tree, file) : undefined
    return text === undefined ? [] : [[file.path, text]]
  })
  return Object.fromEntries(texts)
}

const isConfiguration = (path: string) =>
  STARTS.some((start) => path.startsWith(start)) && !LEFT_OUT.test(path)

function shownText(tree: string, { path, mode, size = 0, sha256 = '' }: ListedFile): string | undefined {
  const byHash = path.startsWith('/etc/') ? `(not shown: SHA-256 ${sha256})` : undefined
  const isPublic = (Number.parseInt(mode, 8) & 0o004) !== 0
  if (!isPublic || size > MAX_SHOWN_BYTES) return byHash
  const bytes = readFileSync(join(tree, path))
  const text = bytes.toString('utf8')
  return !text.includes('\0') && Buffer.from(text).equals(bytes) ? text : byHash
}
