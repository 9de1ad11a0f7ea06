// The base layer: Debian's packages as a tar, installed and configured by mmdebstrap from the locked files alone.
// mmdebstrap runs in namespaces without a network. They end with this process, so a killed bake leaves no process and no
// mount. Fails with mmdebstrap's last lines, or when the installed packages are not the locked ones.
import { createHash } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { runStage, temporaryFolder, type LockedFiles, type StageContext, type StageResult } from '../cache.ts'
import { runProgram } from '../../platform/run-program.ts'
import type { Lock, LockedDeb } from '../lock-file.ts'
import type { Spec } from '../spec.ts'

/** Paths that are never installed, because nothing on an instance reads them. Licences require the copyright files. */
const EXCLUDED = ['/usr/share/doc/*', '/usr/share/info/*', '/usr/share/locale/*', '/usr/share/man/*']
const KEPT = ['/usr/share/doc/*/copyright']

/**
 * Installs the root's packages. The result holds `root.tar`, dpkg's list of installed packages (`status`), and its
 * lists of each package's files (`lists/`).
 */
export async function baseLayer(context: StageContext): Promise<StageResult> {
  const { spec, lock, fetchFiles, cacheDir, onProgress } = context
  return runStage(cacheDir, {
    name: 'base',
    inputs: {
      debs: lock.root.map(({ sha256 }) => sha256).sort(),
      sourceDateEpoch: lock.sourceDateEpoch,
      suite: spec.suite,
      packages: spec.packages,
      user: spec.user,
      remove: spec.remove,
    },
    code: import.meta.filename,
    run: async (folder) => {
      const files = await fetchFiles()
      onProgress(`installing ${lock.root.length} packages`)
      await using work = temporaryFolder(cacheDir, 'mmdebstrap')
      const repository = join(work.path, 'repository')
      await writeRepository(repository, spec.suite, lock, files)
      const temporary = join(work.path, 'tmp')
      mkdirSync(temporary)
      await mmdebstrap(spec, lock, { repository, temporary, folder })
      const differences = installedDifferences(readFileSync(join(folder, 'status'), 'utf8'), lock.root)
      if (differences.length > 0)
        throw new Error(`the root's packages differ from the lock:\n${differences.join('\n')}`)
    },
  })
}

/** Differences of dpkg's status file from the lock: packages missing, not locked, half-installed or of another version. */
export function installedDifferences(status: string, locked: readonly LockedDeb[]): string[] {
  const installed = new Map(
    status.split('\n\n').flatMap((stanza) => {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(stanza)?.[1] ?? ''
      if (field('Package') === '') return []
      const version = field('Status') === 'install ok installed' ? field('Version') : field('Status')
      return [[field('Package'), version] as const]
    }),
  )
  const wanted = new Map(locked.map(({ name, version }) => [name, version]))
  return [...new Set([...installed.keys(), ...wanted.keys()])]
    .filter((name) => installed.get(name) !== wanted.get(name))
    .map(
      (name) => `  ${name}: installed ${installed.get(name) ?? 'not'}, locked ${wanted.get(name) ?? 'not'}`,
    )
}

/** Writes a repository of the locked files. It is unsigned, because their hashes were just checked against the lock. */
export async function writeRepository(
  folder: string,
  suite: string,
  lock: Pick<Lock, 'root' | 'sourceDateEpoch'>,
  files: LockedFiles,
): Promise<void> {
  mkdirSync(folder)
  const stanzas: string[] = []
  for (const deb of lock.root) {
    const name = basename(deb.filename)
    linkSync(files.path(deb), join(folder, name))
    stanzas.push(await stanza(deb, files.path(deb), name))
  }
  const packages = stanzas.join('\n')
  const hash = createHash('sha256').update(packages).digest('hex')
  writeFileSync(join(folder, 'Packages'), packages)
  const date = new Date(lock.sourceDateEpoch * 1000).toUTCString().replace('GMT', 'UTC')
  writeFileSync(
    join(folder, 'Release'),
    [
      `Suite: ${suite}`,
      `Codename: ${suite}`,
      `Date: ${date}`,
      'SHA256:',
      ` ${hash} ${Buffer.byteLength(packages)} Packages`,
      '',
    ].join('\n'),
  )
}

async function stanza(deb: LockedDeb, file: string, name: string): Promise<string> {
  const fields = await runProgram(['dpkg-deb', '--field', file])
  return `${fields.trim()}\nFilename: ./${name}\nSize: ${deb.sizeBytes}\nSHA256: ${deb.sha256}\n`
}

type Places = { repository: string; temporary: string; folder: string }

async function mmdebstrap(spec: Spec, lock: Lock, places: Places): Promise<void> {
  await runProgram([...namespaces(), ...mmdebstrapArguments(spec, places)], {
    env: {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      LC_ALL: 'C.UTF-8',
      TZ: 'UTC',
      TMPDIR: places.temporary,
      SOURCE_DATE_EPOCH: String(lock.sourceDateEpoch),
    },
  })
}

/** Command that starts a program in namespaces that end with this process. An ordinary user needs subordinate ids. */
export function namespaces(): string[] {
  const isRoot = process.getuid?.() === 0
  return [
    'unshare',
    ...(isRoot ? [] : ['--map-root-user', '--map-auto']),
    '--mount',
    '--pid',
    '--net',
    '--ipc',
    '--uts',
    '--fork',
    '--kill-child=KILL',
    '--mount-proc',
    '--',
  ]
}

function mmdebstrapArguments(spec: Spec, { repository, folder }: Places): string[] {
  const { name, id } = spec.user
  const account = [
    `echo '${name}:x:${id}:${id}:${name}:/nonexistent:/usr/sbin/nologin' >> "$1/etc/passwd"`,
    `echo '${name}:x:${id}:' >> "$1/etc/group"`,
    `echo '${name}:!*:::::::' >> "$1/etc/shadow"`,
    `echo '${name}:!*::' >> "$1/etc/gshadow"`,
  ]
  const lists = join(folder, 'lists')
  const patterns = spec.remove.map((path) => `"$1"/${path}`).join(' ')
  return [
    'mmdebstrap',
    '--mode=root',
    '--variant=essential',
    '--format=tar',
    `--architectures=${spec.architecture}`,
    `--include=${spec.packages.join(',')}`,
    '--aptopt=APT::Install-Recommends "false"',
    '--dpkgopt=force-unsafe-io',
    ...EXCLUDED.map((path) => `--dpkgopt=path-exclude=${path}`),
    ...KEPT.map((path) => `--dpkgopt=path-include=${path}`),
    // The hooks remove what apt and mmdebstrap leave behind. The kernel makes the devices.
    '--skip=cleanup/apt,cleanup/mmdebstrap,output/dev',
    `--customize-hook=${account.join(' && ')}`,
    `--customize-hook=cp "$1/var/lib/dpkg/status" '${join(folder, 'status')}'`,
    `--customize-hook=mkdir '${lists}' && cp "$1"/var/lib/dpkg/info/*.list '${lists}'`,
    `--customize-hook=rm -rf ${patterns}`,
    // Remove all setuid and setgid bits: no user of an instance may gain another user's rights.
    '--customize-hook=find "$1" -xdev -type f -perm /6000 -exec chmod a-s {} +',
    spec.suite,
    join(folder, 'root.tar'),
    // Escaped, because a space would end the address (sources.list(5)).
    `deb [trusted=yes] copy:${encodeURI(repository)} ./`,
  ]
}
