// The paths of a checkout: the files that the parts hand to each other.
import { join } from 'node:path'
import type { Architecture } from '../images/boot/qemu/arguments.ts'
import { defaultCacheDir } from '../images/cache.ts'

export type Project = ReturnType<typeof projectAt>

/** The paths of the checkout at `root`. The cache is outside of it, so a fresh clone fetches nothing again. */
export function projectAt(root: string) {
  return {
    root,
    /** The name below imagesDir that points at the image baked last. */
    latest: 'latest',
    specFile: join(root, 'images/image.yaml'),
    lockFile: join(root, 'images/image.lock.json'),
    /** Replaces the lock when one of its packages is gone from the mirror; never committed. */
    localLockFile: join(root, 'build/image.lock.local.json'),
    packageLockFile: join(root, 'package-lock.json'),
    serverEntry: join(root, 'server/main.ts'),
    imagesDir: join(root, 'build/images'),
    reportsDir: join(root, 'build/reports'),
    runDir: join(root, 'build/run'),
    cacheDir: defaultCacheDir(),
  }
}

export const ARCHITECTURES: readonly Architecture[] = ['amd64', 'arm64']

/** The project whose image is for this architecture. */
export function forArchitecture(project: Project, architecture: Architecture): Project {
  if (architecture === 'amd64') return project
  const { root } = project
  return {
    ...project,
    latest: `latest-${architecture}`,
    specFile: join(root, `images/image.${architecture}.yaml`),
    lockFile: join(root, `images/image.${architecture}.lock.json`),
    localLockFile: join(root, `build/image.${architecture}.lock.local.json`),
  }
}
