// Where things are in a checkout: the files between the parts, named in one place.
import { join } from 'node:path'
import { defaultCacheDir } from '../images/cache.ts'

export type Project = ReturnType<typeof projectAt>

/** The paths of the checkout at `root`; the cache lies outside of it, so that a fresh clone need not fetch again. */
export function projectAt(root: string) {
  return {
    root,
    /** The name below imagesDir that points at the image baked last. */
    latest: 'latest',
    specFile: join(root, 'images/image.yaml'),
    lockFile: join(root, 'images/image.lock.json'),
    /** Stands in for the lock when one of its packages can no longer be had; never committed. */
    localLockFile: join(root, 'build/image.lock.local.json'),
    packageLockFile: join(root, 'package-lock.json'),
    serverEntry: join(root, 'server/main.ts'),
    imagesDir: join(root, 'build/images'),
    reportsDir: join(root, 'build/reports'),
    runDir: join(root, 'build/run'),
    cacheDir: defaultCacheDir(),
  }
}

export const ARCHITECTURES = ['amd64', 'arm64'] as const
export type Architecture = (typeof ARCHITECTURES)[number]

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
