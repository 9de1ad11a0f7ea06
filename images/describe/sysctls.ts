// The kernel's parameters as the sysctl.d files of a root set them. Owns: the precedence rules of sysctl.d(5).
import { basename, dirname } from 'node:path'

/** In order of precedence: of two files with one name, the first folder's counts. */
export const SYSCTL_FOLDERS = ['etc/sysctl.d', 'usr/local/lib/sysctl.d', 'usr/lib/sysctl.d']

/** Parameter, with dots, → value. Names with patterns stay as they are written. */
export function effectiveSysctls(files: ReadonlyMap<string, string>): Record<string, string> {
  const chosen = new Map<string, string>()
  for (const folder of SYSCTL_FOLDERS) {
    for (const [path, text] of files)
      if (dirname(path) === folder && !chosen.has(basename(path))) chosen.set(basename(path), text)
  }
  const values: Record<string, string> = {}
  for (const [, text] of [...chosen].sort(([a], [b]) => (a < b ? -1 : 1))) {
    for (const line of text.split('\n')) {
      const [, name, value] = /^\s*-?([^\s#;=][^=]*?)\s*=\s*(.*?)\s*$/.exec(line) ?? []
      if (name !== undefined && value !== undefined) values[withDots(name)] = value
    }
  }
  return Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** When the first separator is a slash, dots and slashes are swapped. */
function withDots(name: string): string {
  if (/^[^/]*\./.test(name) || !name.includes('/')) return name
  return name.replaceAll(/[./]/g, (separator) => (separator === '/' ? '.' : '/'))
}
