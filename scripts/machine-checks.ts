// Checks that this machine has what a bake, a boot test and a local fleet need.
// Owns: the list of checks, the limits, and the command that fixes each problem. A check never throws.
import { accessSync, constants, existsSync, readFileSync, statfsSync } from 'node:fs'
import { totalmem } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { HARDWARE } from '../images/boot/qemu/arguments.ts'
import { probeKvm } from '../images/boot/qemu/acceleration.ts'
import { requirePrograms, requireWritable } from '../images/bake/preflight.ts'
import { requireUserNamespaces } from '../images/bake/user-namespaces.ts'
import { openHttp, useHostProxy } from '../images/archive/http.ts'
import { findMirrors } from '../images/archive/mirrors.ts'
import { readSpec } from '../images/spec.ts'
import { runProgram } from '../platform/run-program.ts'
import type { Project } from './project.ts'

/** `warning`: everything works, but slower or with less certainty. */
export type CheckStatus = 'ok' | 'warning' | 'problem'

export type CheckResult = {
  name: string
  status: CheckStatus
  /** What was found, in one line. */
  found: string
  /** What the operator does about it. */
  mend?: string
}

type Finding = Omit<CheckResult, 'name'>

export type MachineCheck = {
  name: string
  /** Needs no network and takes well under a second. */
  quick: boolean
  run: () => Promise<Finding> | Finding
}

/** A bake from nothing takes 1 GB in the cache; one whose stages are cached takes little. */
const EMPTY_CACHE_BYTES = 1e9
const FILLED_CACHE_BYTES = 2e8
/** An image of 90 MB, its copies for the boot test, and the spool of a fleet. */
const BUILD_BYTES = 5e8
/** A run of `npm start` took 1.4 GB at its peak. A machine sold with 2 GB has somewhat less than 2 GiB. */
const MEMORY_BYTES = 1.75 * 1024 ** 3
/** TLS certificates and signatures of packages are checked against the clock. */
const MOST_CLOCK_ERROR_MS = 5 * 60_000
const NETWORK_TIMEOUT_MS = 20_000

/** All checks, in the order in which a run needs what they check. */
export function machineChecks(project: Project, env: NodeJS.ProcessEnv = process.env): MachineCheck[] {
  const { cacheDir, imagesDir, root } = project
  const cacheBytes = existsSync(join(cacheDir, 'stages')) ? FILLED_CACHE_BYTES : EMPTY_CACHE_BYTES
  return [
    { name: 'system', quick: true, run: () => checkSystem() },
    { name: 'Node', quick: true, run: () => ok(process.version) },
    { name: 'programs', quick: true, run: () => checkPrograms(env) },
    { name: 'user namespaces', quick: true, run: () => checkUserNamespaces() },
    { name: 'KVM', quick: true, run: () => checkKvmDevice() },
    { name: 'memory', quick: true, run: () => checkMemory(totalmem()) },
    { name: 'space for the cache', quick: true, run: () => checkSpace(cacheDir, cacheBytes) },
    { name: 'space for images', quick: true, run: () => checkSpace(imagesDir, BUILD_BYTES) },
    { name: 'folders', quick: true, run: () => checkWritable({ cacheDir, outDir: imagesDir }) },
    { name: 'KVM in use', quick: false, run: () => checkKvmRuns(join(root, 'build')) },
    { name: 'Debian mirror', quick: false, run: () => checkMirror(project, env) },
    { name: 'npm registry', quick: false, run: () => checkRegistry(root) },
  ]
}

/** Runs checks one after another. A check that fails in an unexpected way is a problem, too. */
export async function runChecks(checks: readonly MachineCheck[]): Promise<CheckResult[]> {
  const results: CheckResult[] = []
  for (const { name, run } of checks) {
    try {
      results.push({ name, ...(await run()) })
    } catch (error) {
      results.push({ name, status: 'problem', found: (error as Error).message })
    }
  }
  return results
}

/** One line a check, and one for each mend. */
export function checksText(results: readonly CheckResult[]): string {
  const sign = { ok: '✔', warning: '!', problem: '✖' }
  const width = Math.max(...results.map(({ name }) => name.length))
  return results
    .flatMap(({ name, status, found, mend }) => {
      const line = `${sign[status]} ${name.padEnd(width)}  ${found}`
      return mend === undefined ? [line] : [line, `  ${' '.repeat(width)}  → ${mend}`]
    })
    .join('\n')
}

const ok = (found: string): Finding => ({ status: 'ok', found })

/** @param osRelease os-release(5) */
export function checkSystem(osRelease = '/etc/os-release'): Finding {
  const text = existsSync(osRelease) ? readFileSync(osRelease, 'utf8') : ''
  const field = (name: string) => new RegExp(`^${name}="?([^"\n]*)`, 'm').exec(text)?.[1] ?? ''
  const found = `${field('PRETTY_NAME') || process.platform} on ${process.arch}`
  if (field('ID') === 'debian' && ['12', '13'].includes(field('VERSION_ID')) && process.arch === 'x64')
    return ok(found)
  const mend = 'mailfleet is made for Debian 12 and 13 on x86-64; elsewhere nothing is tested'
  return { status: process.arch === 'x64' ? 'warning' : 'problem', found, mend }
}

/** The bake's programs, QEMU, its firmware, and what makes a spool disk. */
export function checkPrograms(env: NodeJS.ProcessEnv): Finding {
  const install = 'node scripts/setup.mjs'
  try {
    requirePrograms(env['PATH'] ?? '')
  } catch (error) {
    return { status: 'problem', found: (error as Error).message, mend: install }
  }
  const { program, firmware } = HARDWARE.amd64
  const needed = [firmware.code, firmware.vars, ...[program, 'mkfs.ext4'].map((name) => `/usr/bin/${name}`)]
  const isThere = (path: string) => existsSync(path) || existsSync(path.replace('/usr/bin/', '/usr/sbin/'))
  const missing = needed.filter((path) => !isThere(path))
  if (missing.length === 0) return ok('all installed')
  return { status: 'problem', found: `missing: ${missing.join(', ')}`, mend: install }
}

async function checkUserNamespaces(): Promise<Finding> {
  try {
    await requireUserNamespaces()
    return ok(process.getuid?.() === 0 ? 'not needed by root' : 'allowed')
  } catch (error) {
    const [found, mend] = (error as Error).message.split('. As root: ')
    return {
      status: 'problem',
      found: found ?? '',
      ...(mend === undefined ? {} : { mend: `as root: ${mend}` }),
    }
  }
}

/** Whether the device can be opened. That a guest runs on it, only {@link checkKvmRuns} shows. */
export function checkKvmDevice(device = '/dev/kvm', open = accessSync): Finding {
  const slower = 'boots are emulated and take several times longer'
  if (!existsSync(device)) return { status: 'warning', found: `no ${device}: ${slower}` }
  try {
    open(device, constants.R_OK | constants.W_OK)
    return ok(`${device} can be opened`)
  } catch {
    const found = `${device} cannot be opened by this user: ${slower}`
    return {
      status: 'warning',
      found,
      mend: 'as root: usermod --append --groups kvm USER, then log in again',
    }
  }
}

async function checkKvmRuns(workDir: string): Promise<Finding> {
  if (await probeKvm(workDir)) return ok('a guest starts')
  return { status: 'warning', found: 'no guest starts under KVM: boots are emulated' }
}

/** @param bytes of the whole machine */
export function checkMemory(bytes: number): Finding {
  const found = `${(bytes / 1024 ** 3).toFixed(1)} GiB`
  if (bytes >= MEMORY_BYTES) return ok(found)
  const mend = `the boot test and the storm need ${MEMORY_BYTES / 1024 ** 3} GiB`
  return { status: 'problem', found, mend }
}

/** Free space where `path` is, or will be made. */
export function checkSpace(path: string, neededBytes: number): Finding {
  let folder = resolve(path)
  while (!existsSync(folder)) folder = dirname(folder)
  const { bavail, bsize } = statfsSync(folder)
  const found = `${(bavail * (bsize / 1e9)).toFixed(1)} GB free at ${folder}`
  if (bavail * bsize >= neededBytes) return ok(found)
  const mend = `free ${(neededBytes / 1e9).toFixed(1)} GB, or set MAILFLEET_CACHE to a folder on a larger disk`
  return { status: 'problem', found, mend }
}

function checkWritable(folders: { cacheDir: string; outDir: string }): Finding {
  try {
    requireWritable(folders)
    return ok('the cache and build/ can be written')
  } catch (error) {
    const mend = 'change the owner or the mount, or set MAILFLEET_CACHE to another folder'
    return { status: 'problem', found: (error as Error).message, mend }
  }
}

/** Reads the mirror's release file, and compares the clock with the mirror's. */
async function checkMirror({ specFile }: Project, env: NodeJS.ProcessEnv): Promise<Finding> {
  const mend = 'check the network and the proxy, or set MAILFLEET_MIRROR to a mirror that answers'
  let url = ''
  try {
    await useHostProxy()
    url = `${findMirrors(env).debian}/dists/${readSpec(specFile).suite}/InRelease`
    const stream = await openHttp(url, NETWORK_TIMEOUT_MS)
    if (stream === null) return { status: 'problem', found: `${url} does not exist`, mend }
    stream.destroy()
    return await checkClock(url)
  } catch (error) {
    const { message, cause } = error as Error
    const found = `${url}: ${cause instanceof Error ? cause.message : message}`
    return { status: 'problem', found, mend }
  }
}

async function checkClock(url: string): Promise<Finding> {
  const response = await fetch(url, { method: 'HEAD', signal: AbortSignal.timeout(NETWORK_TIMEOUT_MS) })
  const errorMs = Math.abs(Date.parse(response.headers.get('date') ?? '') - Date.now())
  const found = `${url} answers`
  if (!(errorMs > MOST_CLOCK_ERROR_MS)) return ok(found)
  const minutes = Math.round(errorMs / 60_000)
  return {
    status: 'warning',
    found: `${found}; the clock of this machine differs from it by ${minutes} min`,
    mend: 'set the clock: signatures and certificates are checked against it',
  }
}

async function checkRegistry(root: string): Promise<Finding> {
  try {
    const argv = [
      'npm',
      'ping',
      '--fetch-retries=0',
      `--fetch-timeout=${NETWORK_TIMEOUT_MS}`,
      '--loglevel=error',
    ]
    await runProgram(argv, { cwd: root })
    return ok('answers')
  } catch (error) {
    const found = (error as Error).message.trim().split('\n').at(-1) ?? ''
    const mend = 'check the network and the proxy, or: npm config set registry ADDRESS'
    return { status: 'problem', found, mend }
  }
}
