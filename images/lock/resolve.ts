// Makes a new lock from a spec: apt chooses packages from Debian's archive, npm's lock gives the rest. Owns: a private apt
// root with its own lists, sources and empty package state; the host's is neither read nor changed. apt checks signatures
// against the host's debian-archive-keyring. Fails with apt's own message.
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runProgram } from '../../platform/run-program.ts'
import type { OnProgress } from '../../platform/progress.ts'
import { lockedPartDigest, type Spec } from '../spec.ts'
import { temporaryFolder } from '../cache.ts'
import { findMirrors, type Mirrors } from '../archive/mirrors.ts'
import { lockedNpm } from './npm.ts'
import { HOST_ARCHITECTURE, TARGET_PROGRAMS, type Lock, type LockedDeb } from '../lock-file.ts'

export type ResolveOptions = {
  cacheDir: string
  /** npm's lock, whose integrities the image's lock repeats. */
  packageLockFile: string
  mirrors?: Mirrors
  /** Lock the suite alone when updates or security cannot be read. It allows a bake, but must not be committed. */
  suiteAlone?: boolean
  onProgress?: OnProgress
}

/** Debian 13 renamed the keyring from .gpg to .pgp and keeps a link. */
const KEYRINGS = [
  '/usr/share/keyrings/debian-archive-keyring.pgp',
  '/usr/share/keyrings/debian-archive-keyring.gpg',
]

const PROXIES = ['http_proxy', 'https_proxy', 'no_proxy']

/** Settings of the host's apt about reaching a mirror, which apply to the private apt as well. */
const HOST_SETTINGS = /^Acquire::(https?|Retries|Check-Valid-Until|Check-Date|ForceIPv[46])\b/

/**
 * Resolves a specification to exact packages.
 * @throws {Error} with apt's message when a package is unknown or the archive cannot be reached or trusted.
 */
export async function resolveLock(spec: Spec, options: ResolveOptions): Promise<Lock> {
  const { onProgress = () => {}, mirrors = findMirrors() } = options
  const { node, native } = lockedNpm(spec, options.packageLockFile)
  await using folder = temporaryFolder(options.cacheDir, 'apt')
  const onMissingSuite = (error: Error) => {
    if (options.suiteAlone !== true) throw withAdvice(error)
    onProgress(`not every suite could be read, locking from ${spec.suite} alone: ${error.message}`)
  }
  const apt = await privateApt(folder.path, spec, mirrors, onMissingSuite)
  const foreign = spec.architecture !== HOST_ARCHITECTURE
  const host = { ...spec, architecture: HOST_ARCHITECTURE } as const
  const hostApt = foreign ? await privateApt(join(folder.path, 'host'), host, mirrors, onMissingSuite) : apt
  const withoutApt = '?and(?essential,?not(?name(^apt$)))'
  const root = await install(apt, mirrors, [withoutApt, ...spec.packages])
  const tools = await install(hostApt, mirrors, spec.tools)
  const target = foreign ? { target: await install(apt, mirrors, TARGET_PROGRAMS) } : {}
  const kernels = await install(apt, mirrors, [spec.kernel])
  const kernel =
    kernels.find(({ name }) => /^linux-image-\d/.test(name)) ??
    kernels.find((deb) => deb.name === spec.kernel)
  if (!kernel) throw new Error(`${spec.kernel} brings no linux-image package`)
  onProgress(`resolved ${root.length} packages of the root, ${tools.length} of the tools, ${kernel.name}`)
  return {
    format: 1,
    sourceDateEpoch: newestRelease(join(folder.path, 'state/lists')),
    spec: lockedPartDigest(spec),
    root,
    kernel,
    tools,
    ...target,
    node,
    native,
  }
}

type Apt = { configFile: string }

/** A suite that cannot be read must not look like one without updates, so the error is not ignored. */
function withAdvice(error: Error): Error {
  const advice = "MAILFLEET_MIRROR takes two addresses, main and security, where security's is elsewhere"
  return new Error(`${error.message}\n${advice}.`, { cause: error })
}

async function privateApt(
  dir: string,
  spec: Spec,
  mirrors: Mirrors,
  onMissingSuite: (error: Error) => void,
): Promise<Apt> {
  for (const path of [
    'etc/apt.conf.d',
    'etc/preferences.d',
    'state/lists/partial',
    'cache/archives/partial',
  ]) {
    mkdirSync(join(dir, path), { recursive: true })
  }
  writeFileSync(join(dir, 'status'), '')
  const configFile = join(dir, 'apt.conf')
  writeFileSync(configFile, await aptConfiguration(dir, spec))
  const { suite } = spec
  const main = [`${mirrors.debian} ${suite}`]
  const more = [`${mirrors.debian} ${suite}-updates`, `${mirrors.security} ${suite}-security`]
  try {
    await update(dir, configFile, [...main, ...more])
  } catch (error) {
    onMissingSuite(error as Error)
    await update(dir, configFile, main)
  }
  return { configFile }
}

async function aptConfiguration(dir: string, { architecture }: Spec): Promise<string> {
  const stdout = await runProgram(['apt-config', 'dump'])
  return [
    `Dir "${dir}/";`,
    `Dir::Etc "${dir}/etc";`,
    `Dir::State "${dir}/state";`,
    `Dir::State::status "${dir}/status";`,
    `Dir::Cache "${dir}/cache";`,
    'Dir::Etc::netrc "/etc/apt/auth.conf";',
    'Dir::Etc::netrcparts "/etc/apt/auth.conf.d";',
    `APT::Architecture "${architecture}";`,
    `APT::Architectures "${architecture}";`,
    'APT::Install-Recommends "false";',
    'APT::Sandbox::User "root";',
    'Acquire::Languages "none";',
    'Acquire::ForceHash "SHA256";',
    ...stdout.split('\n').filter((line) => HOST_SETTINGS.test(line)),
    '',
  ].join('\n')
}

async function update(dir: string, configFile: string, sources: readonly string[]): Promise<void> {
  const keyring = KEYRINGS.find((file) => existsSync(file))
  if (keyring === undefined)
    throw new Error('no Debian keyring on this machine: install debian-archive-keyring')
  const lines = sources.map((source) => `deb [signed-by=${keyring}] ${source} main\n`)
  writeFileSync(join(dir, 'etc/sources.list'), lines.join(''))
  await runApt(configFile, ['update', '-qq', '--error-on=any'])
}

async function install(
  { configFile }: Apt,
  mirrors: Mirrors,
  names: readonly string[],
): Promise<LockedDeb[]> {
  const output = await runApt(configFile, [
    'install',
    '--print-uris',
    '-qq',
    '--no-install-recommends',
    ...names,
  ])
  return output
    .split('\n')
    .filter((line) => line.startsWith("'"))
    .map((line) => parsePrintedUri(line, mirrors))
}

function runApt(configFile: string, argv: readonly string[]): Promise<string> {
  return runProgram(['apt-get', ...argv], {
    env: {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      LC_ALL: 'C.UTF-8',
      APT_CONFIG: configFile,
      ...Object.fromEntries(
        PROXIES.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
      ),
    },
  })
}

/**
 * A line of `apt-get --print-uris`: `'URI' NAME_VERSION_ARCH.deb SIZE SHA256:HEX`.
 * @throws {Error} when apt prints something else, or an address outside both archives.
 */
export function parsePrintedUri(line: string, mirrors: Mirrors): LockedDeb {
  const match = /^'(\S+)' ([^_\s]+)_([^_\s]+)_([a-z0-9]+)\.deb (\d+) SHA256:([0-9a-f]{64})$/.exec(line)
  if (!match) throw new Error(`apt-get printed an unexpected line: ${line}`)
  const [, uri = '', name = '', version = '', architecture = '', size, sha256 = ''] = match
  const archive = (['debian', 'security'] as const).find((key) => uri.startsWith(`${mirrors[key]}/`))
  if (!archive || (architecture !== 'all' && architecture !== 'amd64' && architecture !== 'arm64')) {
    throw new Error(`apt-get chose a package outside the archives: ${line}`)
  }
  const filename = decodeURIComponent(uri.slice(mirrors[archive].length + 1))
  const sizeBytes = Number(size)
  return { name, version: decodeURIComponent(version), architecture, archive, filename, sizeBytes, sha256 }
}

/** The date of the newest suite, in seconds since 1970, so that equal archives give equal locks. */
function newestRelease(lists: string): number {
  const dates = readdirSync(lists)
    .filter((name) => name.endsWith('Release'))
    .map((name) => /^Date: (.+)$/m.exec(readFileSync(join(lists, name), 'utf8'))?.[1])
    .map((date) => Date.parse(date ?? ''))
    .filter((date) => !Number.isNaN(date))
  if (dates.length === 0) throw new Error('no suite of the archive has a date')
  return Math.floor(Math.max(...dates) / 1000)
}
