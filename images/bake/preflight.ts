// Errors of the machine that stop a bake: a missing program, a full disk, a folder that cannot be written to.
// Owns: checking for them beforehand, recognising them in the system's and the tools' messages, and the advice.
import { accessSync, constants, existsSync, statfsSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { InputError } from '../../input/problems.ts'
import { FetchError } from '../archive/fetch.ts'
import { runProgram } from '../../platform/run-program.ts'
import { HOST_ARCHITECTURE } from '../lock-file.ts'

type Folders = { cacheDir: string; outDir: string }

/** The PATH on which the base layer finds mmdebstrap. The caller's PATH has no effect there. */
const SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin'
/** Program → the Debian package that contains it. */
const PROGRAMS = {
  bwrap: 'bubblewrap',
  'dpkg-deb': 'dpkg',
  mmdebstrap: 'mmdebstrap',
  setpriv: 'util-linux',
  sync: 'coreutils',
  tar: 'tar',
  unshare: 'util-linux',
}

/**
 * Checks that the programs of a bake are installed.
 * @throws {Error} naming all missing programs, and the Debian packages that contain them.
 */
export function requirePrograms(
  path = process.env['PATH'] ?? '',
  { systemPath = SYSTEM_PATH, isRoot = process.getuid?.() === 0 } = {},
): void {
  const wanted = Object.entries({ ...PROGRAMS, ...(isRoot ? {} : { newuidmap: 'uidmap' }) })
  const missing = wanted.filter(
    ([program]) => !isOnPath(program, program === 'mmdebstrap' ? systemPath : path),
  )
  if (missing.length === 0) return
  const programs = missing.map(([program]) => program).join(', ')
  const packages = [...new Set(missing.map(([, name]) => name))].join(' ')
  throw new Error(
    `the bake needs ${programs}, not installed here or not on the PATH: apt-get install ${packages}`,
  )
}

/**
 * Checks that programs of the image's architecture run on this machine.
 * @throws {Error} naming the packages to install
 */
export async function requireRunnable(architecture: string): Promise<void> {
  if (architecture === HOST_ARCHITECTURE) return
  const runs = await runProgram(['arch-test', architecture]).catch(() => null)
  if (runs !== null) return
  throw new Error(
    `programs for ${architecture} do not run on this machine: ` +
      'apt-get install arch-test binfmt-support qemu-user-static, then, as root, update-binfmts --enable',
  )
}

function isOnPath(program: string, path: string): boolean {
  return path.split(':').some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return folder !== ''
    } catch {
      return false
    }
  })
}

/**
 * Checks that the folders, or the nearest existing ones above them, can be written to. A recursive mkdir on a read-only
 * disk would fail with ENOENT, which hides the cause.
 * @throws {Error} with EACCES or EROFS
 */
export function requireWritable({ cacheDir, outDir }: Folders): void {
  for (const folder of [cacheDir, outDir]) accessSync(nearest(resolve(folder)), constants.W_OK)
}

/** The error to show when a bake fails: `error` itself unless the disk is the cause. */
export function explainBakeError(error: unknown, folders: Folders): unknown {
  if (!(error instanceof Error) || error instanceof InputError || error instanceof FetchError) return error
  const { code, path, syscall } = error as NodeJS.ErrnoException
  if (
    /^(ENOSPC|EDQUOT)$/.test(code ?? '') ||
    /No space left on device|Disk quota exceeded/.test(error.message)
  )
    return new Error(fullText(folders), { cause: error })
  // Below /proc mkdir fails with ENOENT although the folder above exists.
  const noFolder = code === 'ENOENT' && syscall === 'mkdir'
  const refused = (noFolder || /^(EACCES|EPERM|EROFS|ENOTDIR)$/.test(code ?? '')) && path !== undefined
  const folder = refused ? folderOf(path, folders) : undefined
  if (folder === undefined || path === undefined) return error
  if (isRead(error, path))
    return new Error(`${path}, in ${folder.what}, cannot be read (${code}): check its owner and mode.`, {
      cause: error,
    })
  return new Error(`${folder.what} ${folder.path} cannot be written to (${code}): ${folder.advice}.`, {
    cause: error,
  })
}

/** A bake writes new files only, so opening an existing one means reading it. */
function isRead({ syscall = '' }: NodeJS.ErrnoException, path: string): boolean {
  const isFile = statSync(path, { throwIfNoEntry: false })?.isFile() ?? false
  return /^(scandir|opendir|read|readlink)$/.test(syscall) || (syscall === 'open' && isFile)
}

function described({ cacheDir, outDir }: Folders) {
  return [
    {
      what: 'the cache',
      path: resolve(cacheDir),
      advice: 'check its owner and mount, or name another cache with MAILFLEET_CACHE',
    },
    { what: 'the folder of images', path: resolve(outDir), advice: 'check its owner and mount' },
  ]
}

/** The folder that a path is in, or that the path is above. */
function folderOf(path: string, folders: Folders) {
  const at = resolve(path)
  return described(folders).find(
    (folder) => `${at}/`.startsWith(`${folder.path}/`) || `${folder.path}/`.startsWith(`${at}/`),
  )
}

/** The tools do not name the full disk. It is the one with less space left. */
function fullText(folders: Folders): string {
  const [least] = described(folders)
    .map(({ what, path }) => ({ what, path, freeBytes: freeBytes(path) }))
    .sort((a, b) => a.freeBytes - b.freeBytes)
  const where = least ? `${least.what}, ${least.path}, has ${(least.freeBytes / 1e6).toFixed(0)} MB left` : ''
  return `no space left on the disk: ${where}.\nA bake from scratch needs 1 GB in the cache (MAILFLEET_CACHE) and 150 MB for the image.`
}

function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(nearest(path))
  return bavail * bsize
}

function nearest(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearest(dirname(path))
}
