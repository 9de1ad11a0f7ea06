// The lint of the root file system. An image installs and downloads nothing at boot and runs no package manager. It has no
// login, and no file that gives more rights. Owns: the lists of words and paths.
// Fails with one InputError that names every file, line and reason.
import { basename, dirname } from 'node:path'
import { InputError, formatValue, type Problem } from '../../input/problems.ts'
import { listTar, textOf, type TarMember } from '../formats/tar-reader.ts'

/** Programs that install or download. */
const PROGRAMS = new Set(
  [
    'apk apt apt-get aptitude cargo conda corepack curl dnf dpkg easy_install flatpak gem importctl microdnf npm npx',
    'pacman pip pip3 pipx pnpm snap systemd-sysupdate unattended-upgrade unattended-upgrades wget yarn yum zypper',
  ]
    .join(' ')
    .split(' '),
)
/** Programs that install or download only with these words. */
const WITH_WORDS =
  /\b(git +(clone|fetch|pull|submodule)|(docker|podman|ctr|nerdctl) +(image +)?pull|go +install)\b/
const CLOUD_INIT = /(^|[^\w])(cloud-(init|config|final)|#cloud-config)/

/** Files that a boot acts on. Our own files are checked as well, wherever they are. */
const RUN_AT_BOOT =
  /^(etc|usr\/lib|usr\/local\/lib)\/(tmpfiles\.d|udev\/rules\.d|modprobe\.d|init\.d|cron\.[a-z]+|profile\.d|systemd\/(system\.conf\.d|network|system-generators|system-environment-generators))\/|^etc\/rc/
const UNIT_FOLDERS = ['etc/systemd/system', 'usr/lib/systemd/system']

/** Paths that an image must not have, each with the reason. */
const ABSENT: readonly [RegExp, string][] = [
  [/^usr\/s?bin\/(apt|aptitude|dpkg|debconf|deb-systemd|update-rc\.d|unattended-upgrade)/, 'package manager'],
  [/^usr\/lib\/(apt|dpkg|unattended-upgrades)(\/|$)/, 'package manager'],
  [
    /^usr\/(local\/)?s?bin\/(perl|python|pip|npm|npx|curl|wget|gcc|cc|make|git)[\d.-]*$/,
    'program to install with',
  ],
  [/^usr\/(s?bin\/(sshd|dropbear)|lib\/openssh\/)/, 'ssh server'],
  [/^(.*\/)?(authorized_keys2?|\.ssh)$/, 'list of ssh keys'],
  [/^(usr\/bin\/cloud-init|etc\/cloud|usr\/lib\/cloud-init)(\/|$)/, 'cloud-init'],
  [/^usr\/s?bin\/(login|agetty|getty|su|sudo|sulogin|pkexec|doas)$/, 'way to log in or to become root'],
]
const LETS_IN =
  /^(.*getty.*|autovt@.*|debug-shell|rescue|emergency|ssh.*|cloud-.*|apt-.*|systemd-sysupdate.*)\./
const SETID = 0o6000

/**
 * Lines of a unit, script or configuration that install or download. Comments and `Documentation=` are not checked.
 * @param path named in the problems, with the line's number
 */
export function textProblems(path: string, text: string): Problem[] {
  return text.split('\n').flatMap((line, index) => {
    const what = installsOrDownloads(line)
    if (what === null) return []
    const expected = `nothing that installs or downloads at boot (${what})`
    return [{ key: `${path}:${index + 1}`, found: formatValue(line.trim()), expected }]
  })
}

function installsOrDownloads(line: string): string | null {
  const cloud = CLOUD_INIT.exec(line)
  if (cloud?.[2] === '#cloud-config') return 'cloud-init'
  if (/^\s*([#;]|Documentation=)/.test(line)) return null
  const program = line
    .split(/[\s"'`;|&(){}$=,[\]]+/)
    .map((word) => basename(word.replace(/^[-@:+!]+/, '')))
    .find((word) => PROGRAMS.has(word))
  return program ?? WITH_WORDS.exec(line)?.[0] ?? cloud?.[2] ?? null
}

/**
 * Lints a root file system.
 * @param archive the tar that becomes the root; if a path occurs twice, the later entry counts
 * @param ours paths of the files from images/system/
 * @throws {InputError} with everything that an image must not have
 */
export async function lintRoot(archive: string, ours: readonly string[]): Promise<void> {
  const root = new Map((await listTar(archive)).map((member) => [member.path, member]))
  const read = [...new Set([...ours, ...(await startedAtBoot(archive, root))])].sort()
  const problems = [...root.values()].flatMap(memberProblems)
  for (const path of read) {
    const member = root.get(path)
    if (member?.type === 'file') problems.push(...textProblems(path, await textOf(archive, member)))
  }
  if (problems.length > 0) throw new InputError('the root file system', problems)
}

function memberProblems({ path, type, mode, xattrs }: TarMember): Problem[] {
  const problem = (found: string, expected: string) => [{ key: path, found, expected }]
  const absent = ABSENT.find(([pattern]) => pattern.test(path))
  if (absent) return problem(`a ${absent[1]}`, 'none in an image')
  if (/\.(wants|requires|upholds)\/[^/]+$/.test(path) && LETS_IN.test(basename(path)))
    return problem('an enabled unit that allows a login or installs', 'no such unit enabled')
  if (type === 'file' && mode & SETID) return problem(`mode ${mode.toString(8)}`, 'neither setuid nor setgid')
  if (xattrs.includes('security.capability')) return problem('capabilities', 'a file without any')
  return []
}

/** Paths of the enabled units, with their drop-ins, and of all other files that a boot acts on. */
async function startedAtBoot(archive: string, root: ReadonlyMap<string, TarMember>): Promise<string[]> {
  const paths = [...root.keys()]
  const enabled = paths.filter((path) =>
    /^etc\/systemd\/system\/[^/]+\.(wants|requires|upholds)\//.test(path),
  )
  const units = new Set(enabled.map((path) => basename(path)))
  const found = new Set(paths.filter((path) => RUN_AT_BOOT.test(path)))
  for (const unit of units) {
    for (const path of filesOfUnit(unit, paths)) {
      const member = root.get(path)
      if (member?.type !== 'file') continue
      found.add(path)
      const pulledIn =
        /^(?:Wants|Requires|Requisite|BindsTo|Upholds|OnFailure|OnSuccess|Unit|Sockets)=(.*)$/gm
      for (const [, names = ''] of (await textOf(archive, member)).matchAll(pulledIn))
        for (const name of names.split(/\s+/)) units.add(name)
    }
  }
  return [...found].filter((path) => root.get(path)?.type === 'file')
}

/** A unit's file and drop-ins (systemd.unit(5)), with those of its template and of its type. */
function filesOfUnit(unit: string, paths: readonly string[]): string[] {
  const names = new Set([unit, unit.replace(/@[^.]*/, '@')])
  const dropIns = new Set([...names, unit.slice(unit.lastIndexOf('.') + 1)].map((name) => `${name}.d`))
  return paths.filter((path) => {
    const folder = dirname(path)
    if (UNIT_FOLDERS.includes(folder)) return names.has(basename(path))
    return UNIT_FOLDERS.includes(dirname(folder)) && dropIns.has(basename(folder))
  })
}
