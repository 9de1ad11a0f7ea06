// `mailfleet start`: the main job on this machine, from the lock to the report. Owns: the order of the steps, what
// is printed, what counts as success, and start.json. Fails with the error of the step that failed.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { bootTest } from '../images/boot/boot-test.ts'
import { readReceipt, type Receipt } from '../images/boot/receipt.ts'
import { buildImage, type BuiltImage } from '../images/build.ts'
import type { Project } from './project.ts'
import { runSteps } from './steps.ts'

export type StartOptions = { project: Project; json: boolean; retest: boolean; signal: AbortSignal }

/** @returns the exit code: 0 only if the image was proven, the fleet scaled both ways, and nothing was lost. */
export async function start(o: StartOptions): Promise<number> {
  const done: { image?: BuiltImage; receipt?: Receipt } = {}
  const steps = [
    {
      title: 'Bake',
      run: async (onProgress: (line: string) => void) => {
        const { specFile, lockFile, cacheDir, serverEntry, imagesDir, localLockFile } = o.project
        done.image = await buildImage({
          ...{ specFile, lockFile, cacheDir, serverEntry, onProgress },
          ...{ outDir: imagesDir, relockInto: localLockFile },
        })
        const { digest, bytes, cached } = done.image
        return `${digest.slice(0, 12)}, ${(bytes / 1e6).toFixed(0)} MB${cached ? ', unchanged' : ''}`
      },
    },
    {
      title: 'Boot test',
      run: async (onProgress: (line: string) => void) => {
        const { receipt, old } = await provenBy(done.image!, o, onProgress)
        done.receipt = receipt
        const { accel, secondsToFirstForward, bytesRead } = receipt
        const found = `first mail forwarded after ${secondsToFirstForward} s (${accel}), ${(bytesRead / 1e6).toFixed(0)} MB read`
        return old ? `${found}; these bytes have their receipt already` : found
      },
    },
  ]
  await runSteps(steps, { out: o.json ? process.stderr : process.stdout, signal: o.signal })
  return 0
}

/** The receipt of exactly these bytes, from an earlier boot test if there is one. */
async function provenBy(
  image: BuiltImage,
  { project, retest, signal }: StartOptions,
  onProgress: (line: string) => void,
): Promise<{ receipt: Receipt; old: boolean }> {
  const file = join(image.folder, 'receipt.json')
  if (!retest && existsSync(file)) return { receipt: readReceipt(file, image.digest), old: true }
  return { receipt: await bootTest(image, { cacheDir: project.cacheDir, onProgress, signal }), old: false }
}
