// The changelog inside a .deb. Owns: finding it, parsing its format (deb-changelog(5)), and which entries are newer than a
// version. Fails with dpkg's own words.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { temporaryFolder } from '../cache.ts'
import { runProgram } from '../../platform/run-program.ts'
import { compareVersions } from './version.ts'

/** The entry of one version. `lines`: its points, one line each. */
export type ChangelogEntry = { version: string; lines: string[]; cves: string[] }

/** The source package that a .deb was built from, and the source's version. */
export async function sourcePackageOf(deb: string): Promise<{ source: string; version: string }> {
  const fields = await runProgram([
    'dpkg-deb',
    '--showformat',
    '${source:Package} ${source:Version}',
    '--show',
    deb,
  ])
  const [source = '', version = ''] = fields.trim().split(' ')
  return { source, version }
}

/** All entries of a .deb's changelog, newest first. Empty when the package has no changelog of its own. */
export async function changelogOf(deb: string, cacheDir: string): Promise<ChangelogEntry[]> {
  await using folder = temporaryFolder(cacheDir, 'changelog')
  // tar fails when nothing matches, as in packages that link to another package's folder.
  const script =
    'dpkg-deb --fsys-tarfile "$1" | tar --extract --directory "$2" --wildcards "./usr/share/doc/*/changelog*" 2>&1 || :'
  await runProgram(['sh', '-c', script, 'sh', deb, folder.path])
  const files = readdirSync(folder.path, { recursive: true, encoding: 'utf8' }).sort()
  const texts = (pattern: RegExp) =>
    files
      .filter((name) => pattern.test(name))
      .map((name) => gunzipSync(readFileSync(join(folder.path, name))).toString('utf8'))
  // A rebuild for one architecture has a changelog of its own, which comes first. A native package has changelog.gz only.
  const debian = [...texts(/\/changelog\.Debian\.\w+\.gz$/), ...texts(/\/changelog\.Debian\.gz$/)]
  return (debian.length > 0 ? debian : texts(/\/changelog\.gz$/)).flatMap(parseChangelog)
}

/** Entries of a changelog; empty when it is not in Debian's format. */
export function parseChangelog(text: string): ChangelogEntry[] {
  const entries: ChangelogEntry[] = []
  let body: string[] | undefined
  for (const line of text.split('\n')) {
    const version = /^[a-z0-9][a-z0-9+.-]* \(([^()\s]+)\) [^;]+;/.exec(line)?.[1]
    if (version !== undefined) {
      body = []
      entries.push({ version, lines: body, cves: [] })
    } else if (/^ -- /.test(line)) body = undefined
    else if (body) addLine(body, line)
  }
  return entries.map((entry) => ({
    ...entry,
    cves: [...new Set(entry.lines.join('\n').match(/CVE-\d{4}-\d{4,}/g) ?? [])].sort(),
  }))
}

/** A point begins with `*`, `-` or `+`. A line without a mark continues the last point. `[ Name ]` is a heading. */
function addLine(points: string[], line: string): void {
  const text = line.trim()
  if (text === '' || /^\[.*\]$/.test(text)) return
  const point = /^[*+-]\s+(.*)$/.exec(text)?.[1]
  const last = points.at(-1)
  if (point === undefined && last !== undefined) points[points.length - 1] = `${last} ${text}`
  else points.push(point ?? text)
}

/** The entries newer than `version`; only the newest entry when the version is unknown. */
export function entriesSince(
  entries: readonly ChangelogEntry[],
  version: string | undefined,
): ChangelogEntry[] {
  if (version === undefined) return entries.slice(0, 1)
  return entries.filter((entry) => compareVersions(entry.version, version) > 0)
}
