// Produces every file next to a disk: manifest, list of files, texts, kernel configuration, SBOM and lock.
// Owns: the list of these files. Fails with the errors of contents.ts and deb-facts.ts.
import type { BundledPackage, Lock } from '../lock-file.ts'
import { lockText } from '../lock-file.ts'
import type { StageContext, StageResult } from '../cache.ts'
import { npmComponents, type NpmComponent } from '../lock/npm.ts'
import type { Spec } from '../spec.ts'
import { debianRelease, readContents, rootContents, type Contents } from './contents.ts'
import { debFacts, readDebFacts, type DebFacts } from './deb-facts.ts'
import { IMAGE_LOCK, manifestTexts, type DiskLayout, type ManifestParts } from './manifest.ts'
import { debsInImage, SBOM, sbomText } from './sbom.ts'

/** What is known of a root file system before there is a disk. */
export type RootDescription = {
  contents: Contents
  /** By SHA-256 of a .deb. */
  facts: Record<string, DebFacts>
  /** Debian's release number. */
  debian: string
  /** npm packages whose code is in the server's bundle. */
  bundled: NpmComponent[]
  stages: StageResult[]
}

export type RootParts = {
  tools: StageResult
  base: StageResult
  root: StageResult
  /** Packages of the server's bundle. */
  packages: readonly BundledPackage[]
  /** npm's lock. */
  packageLockFile: string
}

/** Reads the root's contents and the facts about its packages, or finds them read. */
export async function describeRoot(context: StageContext, parts: RootParts): Promise<RootDescription> {
  const bundled = npmComponents(parts.packageLockFile, parts.packages)
  const listed = await rootContents(context, parts)
  const debs = await debFacts(debsInImage(context.lock), context)
  const contents = readContents(listed)
  return {
    contents,
    facts: readDebFacts(debs),
    debian: debianRelease(contents),
    bundled,
    stages: [listed, debs],
  }
}

/** Texts of the files that lie beside the disk, by name. */
export function descriptionTexts(
  { spec, lock }: { spec: Spec; lock: Lock },
  root: RootDescription,
  parts: Omit<ManifestParts, 'contents'>,
  disk: DiskLayout,
): Record<string, string> {
  const { contents, facts, debian, bundled } = root
  const sizes = contents.sizesByPackage
  return {
    ...manifestTexts({ spec, lock }, { ...parts, contents }, disk),
    [SBOM]: sbomText({ spec, lock, digest: disk.digest, bundled, sizes, facts, debian }),
    [IMAGE_LOCK]: lockText(lock),
  }
}
