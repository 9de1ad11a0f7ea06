// The tools tree: the locked programs that put an image together, unpacked, and how to run one of them.
// They run in a sandbox that has the tree for its system, no network, a fixed environment and only the folders
// it is given, so the host's own versions do not matter; and they die with us. Fails with the tool's own output.
import { join } from 'node:path'
import { execa } from 'execa'
import { runStage, type StageResult } from '../cache.ts'
import type { Fetch } from '../archive/fetch.ts'
import { runProgram } from '../../platform/run-program.ts'
import type { Lock, LockedDeb } from '../lock-file.ts'

/** Unpacks the tools. Only unpacks: none of them needs its maintainer scripts. */
export async function toolsTree(lock: Lock, obtain: Fetch, cacheDir: string): Promise<StageResult> {
  return unpacked('tools', lock.tools, obtain, cacheDir)
}

async function unpacked(
  name: string,
  locked: readonly LockedDeb[],
  obtain: Fetch,
  cacheDir: string,
): Promise<StageResult> {
  // base-files first: it brings /bin → usr/bin and the like, which later packages' files must land behind.
  const debs = [...locked].sort((a, b) => Number(b.name === 'base-files') - Number(a.name === 'base-files'))
  return runStage(cacheDir, {
    name,
    inputs: locked.map(({ sha256 }) => sha256).sort(),
    code: [import.meta.filename],
    run: async (folder) => {
      const fetched = await obtain()
      for (const deb of debs) await runProgram(['dpkg-deb', '--extract', fetched.path(deb), folder])
    },
  })
}

/** What of the tools is in the image itself: the initrd's programs, and systemd's EFI stub. */
export const TARGET_PROGRAMS = ['base-files', 'busybox-static', 'dmsetup', 'systemd-boot-efi']

/** Unpacks what of the tools goes into the image; for an image of the tools' own architecture that is the tools tree. */
export async function targetTree(
  lock: Lock,
  tools: StageResult,
  obtain: Fetch,
  cacheDir: string,
): Promise<StageResult> {
  if (lock.target === undefined) return tools
  return unpacked('target', lock.target, obtain, cacheDir)
}

export type Sandbox = {
  /** A tools tree's folder. */
  tools: string
  sourceDateEpoch: number
  /** Path inside → path outside. */
  readOnly?: Record<string, string>
  writable?: Record<string, string>
  /** Besides what is the same for all tools. */
  environment?: Record<string, string>
  cwd?: string
}

/**
 * Runs one tool to its end, with `input` on its standard input, and returns what it printed.
 * @throws {Error} with the tool's own words when it fails.
 */
export async function runTool(sandbox: Sandbox, argv: readonly string[], input = ''): Promise<string> {
  const { stdout, all, failed } = await execa('bwrap', [...sandboxArguments(sandbox), ...argv], {
    all: true,
    reject: false,
    input,
    stripFinalNewline: true,
  })
  if (failed) throw new Error(`${argv[0]} failed: ${all.trim().split('\n').slice(-20).join('\n')}`)
  return stdout
}

function sandboxArguments(sandbox: Sandbox): string[] {
  const { tools, sourceDateEpoch, readOnly = {}, writable = {}, environment = {}, cwd } = sandbox
  const usr = join(tools, 'usr')
  return [
    '--die-with-parent',
    '--new-session',
    '--unshare-all',
    '--clearenv',
    ...['--setenv', 'PATH', '/usr/sbin:/usr/bin'],
    ...['--setenv', 'LC_ALL', 'C.UTF-8'],
    ...['--setenv', 'TZ', 'UTC'],
    ...['--setenv', 'HOME', '/tmp'],
    ...['--setenv', 'PYTHONDONTWRITEBYTECODE', '1'],
    ...['--setenv', 'SOURCE_DATE_EPOCH', String(sourceDateEpoch)],
    ...Object.entries(environment).flatMap(([name, value]) => ['--setenv', name, value]),
    ...['--ro-bind', usr, '/usr'],
    ...['--ro-bind', join(tools, 'etc'), '/etc'],
    ...['bin', 'sbin', 'lib', 'lib64'].flatMap((name) => ['--symlink', `usr/${name}`, `/${name}`]),
    ...['--proc', '/proc'],
    ...['--dev', '/dev'],
    ...['--tmpfs', '/tmp'],
    ...['--tmpfs', '/run'],
    ...Object.entries(readOnly).flatMap(([inside, outside]) => ['--ro-bind', outside, inside]),
    ...Object.entries(writable).flatMap(([inside, outside]) => ['--bind', outside, inside]),
    ...(cwd === undefined ? [] : ['--chdir', cwd]),
    '--',
  ]
}
