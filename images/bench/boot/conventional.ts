// The packages and the lock of the conventional image. Suite, kernel and Node are the golden image's.
// Owns the list: packages that both Debian's cloud images and Packer builds on them have.
// Fails as locking and fetching do.
import { existsSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fetchLocked, type Fetched } from '../../archive/fetch.ts'
import { readLock, writeLock, type Lock, type LockedNpm } from '../../lock-file.ts'
import { resolveLock } from '../../lock/resolve.ts'
import type { OnProgress } from '../../../platform/progress.ts'
import { lockedPartDigest, type Spec } from '../../spec.ts'

/** Real images start more: recommended packages, unattended upgrades and a cloud agent are left out here. */
const PACKAGES = [
  ['apparmor', 'apt', 'ca-certificates', 'cron', 'curl', 'dbus', 'e2fsprogs', 'iproute2', 'iputils-ping'],
  ['less', 'libatomic1', 'libpam-systemd', 'libstdc++6', 'logrotate', 'procps', 'python3', 'sudo', 'udev'],
  ['cloud-guest-utils', 'cloud-init', 'netplan.io', 'openssh-server'],
  ['grub-efi-amd64-bin', 'grub2-common', 'initramfs-tools', 'zstd'],
  ['systemd-resolved', 'systemd-sysv', 'systemd-timesyncd'],
].flat()

/** Tools that make its disk. mke2fs reads a tar by libarchive and a locale of libc-bin (mke2fs(8), `-d`). */
const TOOLS = [
  'base-files',
  'dosfstools',
  'e2fsprogs',
  'fdisk',
  'grub-efi-amd64-bin',
  'libarchive13t64',
  'libc-bin',
  'mtools',
]

/** npm as one tarball with its dependencies, as a Debian package of Node would contain it. */
export const NPM: LockedNpm = {
  name: 'npm',
  version: '11.21.2',
  integrity:
    'sha512-7HPApk+AflMUavSseL1Pm6CnYqMIHk53x+KmuhqmTDqPkjPMgxIpTPcTqsE91EKNw4gFBJV9fnXiSdGm1DXq9A==',
}

/** The committed lock. */
export const CONVENTIONAL_LOCK = join(import.meta.dirname, 'conventional.lock.json')

export type ConventionalOptions = {
  cacheDir: string
  packageLockFile: string
  lockFile: string
  /** Written and used when the lock does not fit the spec, or names a package that is no longer available. */
  localLockFile: string
  /** Additional npm packages to fetch. */
  npm: readonly LockedNpm[]
  onProgress: OnProgress
}

export type Conventional = {
  spec: Spec
  lock: Lock
  /** Whether `lock` is the committed one. */
  locked: boolean
  fetched: Fetched
  cacheDir: string
}

/** The golden image's spec with conventional packages in place of its own. */
export function conventionalSpec(golden: Spec): Spec {
  return { ...golden, packages: [golden.kernel, ...PACKAGES], tools: TOOLS }
}

/**
 * Locks and fetches the image's packages. An older lock stays in use while all its packages are available.
 * @throws {Error} with apt's message when the mirror is needed and cannot be reached.
 */
export async function conventionalPackages(spec: Spec, o: ConventionalOptions): Promise<Conventional> {
  const { cacheDir, onProgress } = o
  const fetch = (lock: Lock) => fetchLocked({ ...lock, native: [...o.npm] }, { cacheDir, onProgress })
  for (const file of [o.lockFile, o.localLockFile].filter((path) => existsSync(path))) {
    try {
      const lock = readLock(file)
      if (lock.spec !== lockedPartDigest(spec)) throw new Error('it was made of another spec')
      return { spec, lock, locked: file === o.lockFile, fetched: await fetch(lock), cacheDir }
    } catch (error) {
      onProgress(`${file} no longer serves: ${(error as Error).message}`)
    }
  }
  onProgress('locking the packages of the conventional image')
  const lock = await resolveLock(spec, { cacheDir, packageLockFile: o.packageLockFile, onProgress })
  mkdirSync(dirname(o.localLockFile), { recursive: true })
  writeLock(o.localLockFile, lock)
  return { spec, lock, locked: false, fetched: await fetch(lock), cacheDir }
}
