// What stops a bake and is not its input's fault, in a sentence or two: a disk that is full or not writable, a program
// that is not installed. Owns: recognising these in the words of the system and of the tools, and what helps.
import { accessSync, constants, existsSync, statfsSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { InputError } from '../../input/problems.ts'
import { FetchError } from '../archive/fetch.ts'
import { runProgram } from '../../platform/run-program.ts'
import { HOST_ARCHITECTURE } from '../lock-file.ts'

type Folders = { cacheDir: string; outDir: string }

/** Where the base layer looks for mmdebstrap, whatever the caller's PATH. */
const SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin'
/** Program → the Debian package that brings it. */
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
 * Makes sure that the programs a bake runs are there.
 * @throws {Error} naming all that are not, and the Debian packages that bring them.
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
 * Makes sure that programs of the image's architecture run here.
 * @throws {Error} with what to install
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
 * Makes sure that the folders, or the nearest ones that could hold them, can be written to. Asked beforehand, since a
 * recursive mkdir on a read-only disk says of its parent that it is not there.
 * @throws {Error} with EACCES or EROFS
 */
export function requireWritable({ cacheDir, outDir }: Folders): void {
  for (const folder of [cacheDir, outDir]) accessSync(nearest(resolve(folder)), constants.W_OK)
}

/** The error to show for what ended a bake: `error` itself unless the disk is behind it. */
export function explainBakeError(error: unknown, folders: Folders): unknown {
  if (!(error instanceof Error) || error instanceof InputError || error instanceof FetchError) return error
  const { code, path, syscall } = error as NodeJS.ErrnoException
  if (
    /^(ENOSPC|EDQUOT)$/.test(code ?? '') ||
    /No space left on device|Disk quota exceeded/.test(error.message)
  )
    return new Error(fullText(folders), { cause: error })
  // Below /proc a folder cannot be made though the one above it is there.
  const noFolder = code === 'ENOENT' && syscall === 'mkdir'
  const refused = (noFolder || /^(EACCES|EPERM|EROFS|ENOTDIR)$/.test(code ?? '')) && path !== undefined
  const folder = refused ? folderOf(path, folders) : undefined
  if (folder === undefined || path === undefined) return error
  if (isRead(error, path))
    return new Error(`${path}, in ${folder.what}, cannot be read (${code}): see to its owner and mode.`, {
      cause: error,
    })
  return new Error(`${folder.what} ${folder.path} cannot be written to (${code}): ${folder.advice}.`, {
    cause: error,
  })
}

/** A bake writes new files only: opening one that is there was meant to read it. */
function isRead({ syscall = '' }: NodeJS.ErrnoException, path: string): boolean {
  const isFile = statSync(path, { throwIfNoEntry: false })?.isFile() ?? false
  return /^(scandir|opendir|read|readlink)$/.test(syscall) || (syscall === 'open' && isFile)
}

function described({ cacheDir, outDir }: Folders) {
  return [
    {
      what: 'the cache',
      path: resolve(cacheDir),
      advice: 'see to its owner and mount, or name another with MAILFLEET_CACHE',
    },
    { what: 'the folder of images', path: resolve(outDir), advice: 'see to its owner and mount' },
  ]
}

/** A folder that cannot be made is reported by the name of the nearest one that could hold it. */
function folderOf(path: string, folders: Folders) {
  const at = resolve(path)
  return described(folders).find(
    (folder) => `${at}/`.startsWith(`${folder.path}/`) || `${folder.path}/`.startsWith(`${at}/`),
  )
}

/** The tools do not say where: it is where less is left. */
function fullText(folders: Folders): string {
  const [least] = described(folders)
    .map(({ what, path }) => ({ what, path, freeBytes: freeBytes(path) }))
    .sort((a, b) => a.freeBytes - b.freeBytes)
  const where = least ? `${least.what}, ${least.path}, has ${(least.freeBytes / 1e6).toFixed(0)} MB left` : ''
  return `no space left on the disk: ${where}.\nA bake from nothing takes 1 GB in the cache (MAILFLEET_CACHE) and 150 MB for the image.`
}

function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(nearest(path))
  return bavail * bsize
}

function nearest(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearest(dirname(path))
}
