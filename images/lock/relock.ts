// Checks whether a lock fits its spec, and makes a replacement lock when locked packages are gone. Owns:
// which lock a bake then uses. Fails with InputError, or with an error of resolve.ts.
import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { InputError } from '../../input/problems.ts'
import { fetchLocked } from '../archive/fetch.ts'
import { architectureProblems, readLock, writeLock, type Lock } from '../lock-file.ts'
import type { OnProgress } from '../../platform/progress.ts'
import { lockedPartDigest, type Spec } from '../spec.ts'
import { lockedNpm } from './npm.ts'
import { resolveLock } from './resolve.ts'

export type RelockOptions = {
  cacheDir: string
  packageLockFile: string
  archive?: string
  onProgress: OnProgress
}

/** @throws {InputError} about the lock when the spec or npm's lock has changed since it was made. */
export function checkLockFits(spec: Spec, lock: Lock, lockFile: string, packageLockFile: string): void {
  const problems = architectureProblems(lock, spec.architecture)
  if (lock.spec !== lockedPartDigest(spec)) {
    problems.push({
      key: 'spec',
      found: lock.spec,
      expected: 'the digest of this spec (npx mailfleet image lock makes a new lock)',
    })
  }
  const npm = lockedNpm(spec, packageLockFile)
  const integrities = ({ node, native }: Pick<Lock, 'node' | 'native'>) =>
    JSON.stringify([node, ...native].map(({ integrity }) => integrity).sort())
  if (integrities(npm) !== integrities(lock)) {
    problems.push({
      key: 'native',
      found: 'other npm packages',
      expected: 'those of package-lock.json (npx mailfleet image lock makes a new lock)',
    })
  }
  if (problems.length > 0) throw new InputError(lockFile, problems)
}

/**
 * Locks anew into `file`. An earlier lock there is kept while it fits and all its files can be fetched, so that one
 * relock serves many bakes.
 */
export async function relock(spec: Spec, file: string, options: RelockOptions): Promise<Lock> {
  const { cacheDir, packageLockFile, onProgress } = options
  if (existsSync(file)) {
    try {
      const earlier = readLock(file)
      checkLockFits(spec, earlier, file, packageLockFile)
      await fetchLocked(earlier, options)
      return earlier
    } catch (error) {
      onProgress(`${file} no longer serves: ${(error as Error).message}`)
    }
  }
  const fresh = await resolveLock(spec, { cacheDir, packageLockFile, suiteAlone: true, onProgress })
  mkdirSync(dirname(file), { recursive: true })
  writeLock(file, fresh)
  return fresh
}
