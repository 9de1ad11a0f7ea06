// The image that tests boot: baked from this checkout, or found baked. Whoever asks first waits for it.
import { join } from 'node:path'
import { buildImage, type BuiltImage } from '../../../images/bake/bake.ts'
import { projectAt } from '../../../scripts/project.ts'

export const project = projectAt(join(import.meta.dirname, '../../..'))

let baking: Promise<BuiltImage> | undefined

/** Locked packages that can no longer be had are replaced, as `npm start` does. */
export function newestImage(): Promise<BuiltImage> {
  const { specFile, lockFile, localLockFile: relockInto, cacheDir, serverEntry, imagesDir: outDir } = project
  return (baking ??= buildImage({ specFile, lockFile, relockInto, cacheDir, serverEntry, outDir }))
}
