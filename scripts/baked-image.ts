// Finds a baked image by what the command line names.
import { existsSync, realpathSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { readManifest } from '../images/describe/manifest.ts'
import { InputError } from '../input/problems.ts'
import type { Project } from './project.ts'

/** `folder` holds the disk and everything that describes it. */
export type BakedImage = { digest: string; folder: string; disk: string }

/**
 * A baked image by its folder or digest; the newest when no name is given.
 * @param key the argument or option that names it, for the error
 * @throws {InputError} when there is no such image
 */
export function bakedImage({ imagesDir, latest }: Project, name = latest, key = 'image'): BakedImage {
  const folder = [join(imagesDir, name), resolve(name)].find((path) =>
    existsSync(join(path, 'manifest.json')),
  )
  if (folder === undefined) {
    const expected = `a folder or a digest below ${imagesDir} (npx mailfleet image build makes one)`
    throw new InputError('the command', [{ key, found: name, expected }])
  }
  const { digest } = readManifest(folder)
  // The link `latest` moves with the next bake, so it is resolved now.
  const realFolder = realpathSync(folder)
  return { digest, folder: realFolder, disk: join(realFolder, 'disk.raw') }
}
