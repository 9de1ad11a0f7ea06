// `mailfleet image build|test`: parse, call one function of images/, print.
import { existsSync, realpathSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { bootTest, type Image } from '../images/boot/boot-test.ts'
import { receiptSigningKey } from '../images/boot/receipt-key.ts'
import type { Accel } from '../images/boot/qemu/arguments.ts'
import { buildImage } from '../images/bake/bake.ts'
import type { SecureBootFiles } from '../images/bake/secure-boot.ts'
import { readManifest } from '../images/describe/manifest.ts'
import { InputError } from '../input/problems.ts'
import type { Project } from './project.ts'
import { untilAborted } from './steps.ts'

type Common = { project: Project; json: boolean; signal: AbortSignal }

/** Progress goes to standard error, so that the result on standard output can be piped. */
const onProgress = (line: string): void => console.error(line)

/** Bakes the image from the committed lock; fails, naming them, if locked packages are gone. */
export async function imageBuild({
  project,
  json,
  signal,
  archive,
  signingKeyFile,
  secureBoot,
}: Common & { archive?: string; signingKeyFile?: string; secureBoot?: SecureBootFiles }): Promise<number> {
  const { specFile, lockFile, cacheDir, serverEntry, imagesDir } = project
  const building = buildImage({
    ...{ specFile, lockFile, cacheDir, serverEntry, outDir: imagesDir, onProgress },
    ...(archive === undefined ? {} : { archive }),
    ...(signingKeyFile === undefined ? {} : { signingKeyFile }),
    ...(secureBoot && { secureBoot }),
  })
  const { digest, disk, bytes, cached, locked } = await untilAborted(building, signal)
  print(json, { digest, disk, bytes, cached, locked })
  return 0
}

/** Boots a baked image with its network cut off, forwards a message through it, writes and signs its receipt. */
export async function imageTest(
  o: Common & { image?: string; accel?: Accel | 'auto'; timeoutMs?: number; sign?: string },
): Promise<number> {
  const image = bakedImage(o.project, o.image)
  const receiptKey = receiptSigningKey(process.env, o.sign)
  const { accel, timeoutMs, signal } = o
  const receipt = await bootTest(image, {
    ...{ cacheDir: o.project.cacheDir, onProgress, signal, receiptKey },
    ...(accel === undefined ? {} : { accel }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  })
  print(o.json, receipt)
  return 0
}

/**
 * A baked image by its folder or digest; the newest when nothing is named.
 * @param key what names it on the command line
 * @throws {InputError} when there is no such image
 */
export function bakedImage({ imagesDir, latest }: Project, name = latest, key = 'image'): Image {
  const folder = [join(imagesDir, name), resolve(name)].find((path) =>
    existsSync(join(path, 'manifest.json')),
  )
  if (folder === undefined) {
    const expected = `a folder or a digest below ${imagesDir} (npx mailfleet image build makes one)`
    throw new InputError('the command', [{ key, found: name, expected }])
  }
  const { digest } = readManifest(folder)
  return {
    digest,
    // What `latest` points at changes with the next bake.
    folder: realpathSync(folder),
    disk: join(realpathSync(folder), 'disk.raw'),
  }
}

function print(json: boolean, result: Record<string, unknown>): void {
  if (json) console.log(JSON.stringify(result, null, 2))
  else for (const [key, value] of Object.entries(result)) console.log(`${key}: ${shown(value)}`)
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
