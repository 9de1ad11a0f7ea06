// What an image is made of, manifest.json beside its disk: for people, for the boot test and for publishing.
// Owns: its contents and layout. Equal images have equal manifests, save `locked` and `lock`, which tell how the
// packages were chosen.
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Bundle } from './app.ts'
import type { StageResult } from './cache.ts'
import { kernelCommandLine, type Disk, type Placed } from './disk.ts'
import { lockText, type Lock, type LockedDeb, type LockedNpm } from './lock/lock.ts'
import { readVerity } from './rootfs.ts'
import type { Spec } from './spec.ts'

/** The lock an image was made from, kept beside its disk: what it takes to make it, or to read it, again. */
export const IMAGE_LOCK = 'image.lock.json'

export type Manifest = {
  format: 1
  name: string
  /** SHA-256 of disk.raw. */
  digest: string
  architecture: string
  /** False when the packages were chosen anew because a locked one was gone. */
  locked: boolean
  /** SHA-256 of the lock as text. */
  lock: string
  sourceDateEpoch: number
  rootHash: string
  kernel: { package: string; version: string; release: string; commandLine: string }
  node: string
  packages: { name: string; version: string; architecture: string }[]
  npm: { name: string; version: string }[]
  /** npm packages whose code is in the server's bundle. */
  bundled: string[]
  units: { enabled: string[]; masked: string[] }
  partitions: Placed[]
  sizes: Record<'disk' | 'root' | 'verity' | 'uki' | 'initrd' | 'server', number>
}

export type ManifestInputs = {
  spec: Spec
  lock: Lock
  locked: boolean
  disk: Disk
  kernel: StageResult
  initrd: StageResult
  root: StageResult
  esp: StageResult
  bundle: Bundle
}

/** Describes an image. Sizes are in bytes. */
function makeManifest(inputs: ManifestInputs): Manifest {
  const { spec, lock, locked, disk, kernel, initrd, root, esp, bundle } = inputs
  const verity = readVerity(root)
  const size = (stage: StageResult, name: string) => statSync(join(stage.path, name)).size
  return {
    format: 1,
    name: spec.name,
    digest: disk.digest,
    architecture: spec.architecture,
    locked,
    lock: createHash('sha256').update(lockText(lock)).digest('hex'),
    sourceDateEpoch: lock.sourceDateEpoch,
    rootHash: verity.rootHash,
    kernel: {
      package: lock.kernel.name,
      version: lock.kernel.version,
      release: readFileSync(join(kernel.path, 'release'), 'utf8'),
      commandLine: kernelCommandLine(spec, verity),
    },
    node: lock.node.version,
    packages: [...lock.root, lock.kernel].map(({ name, version, architecture }: LockedDeb) => ({
      name,
      version,
      architecture,
    })),
    npm: lock.native.map(({ name, version }: LockedNpm) => ({ name, version })),
    bundled: bundle.packages,
    units: { enabled: Object.values(spec.units.enable).flat().sort(), masked: [...spec.units.mask].sort() },
    partitions: disk.partitions,
    sizes: {
      disk: disk.bytes,
      root: size(root, 'root.erofs'),
      verity: size(root, 'root.verity'),
      uki: size(esp, 'uki.efi'),
      initrd: size(initrd, 'initrd.zst'),
      server: bundle.files.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0),
    },
  }
}

/** {@link makeManifest} as the file's text. */
export function manifestText(inputs: ManifestInputs): string {
  return `${JSON.stringify(makeManifest(inputs), null, 2)}\n`
}

/** Reads the manifest of an image's folder. */
export function readManifest(imageFolder: string): Manifest {
  return JSON.parse(readFileSync(join(imageFolder, 'manifest.json'), 'utf8')) as Manifest
}
