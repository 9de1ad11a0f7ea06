// The folder of an image, `<outDir>/<digest>/`: the disk and the files that describe it. Owns: that the folder appears
// atomically, that a disk found there is intact, and the link `latest`. Fails when a rebuilt disk has another digest.
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { hashFile, runStage, type StageResult } from '../cache.ts'
import { writeDisk, type BakedDisk, type DiskParts } from './disk.ts'
import { moveIntoPlace, replaceSymlink, writeFileAtomic } from '../../platform/atomic-file.ts'
import { runProgram } from '../../platform/run-program.ts'
import type { OnProgress } from '../../platform/progress.ts'

export type FolderInputs = {
  parts: DiskParts
  /** Files that lie beside a disk: name → text. */
  describe: (disk: BakedDisk) => Record<string, string>
  cacheDir: string
  outDir: string
  onProgress: OnProgress
}

/**
 * Writes the disk, unless an intact one is there, and points `latest` at it. The disk goes straight to the output
 * folder. The cache keeps only its digest and layout.
 */
export async function imageFolder(
  inputs: FolderInputs,
): Promise<{ disk: BakedDisk; folder: string; cached: boolean }> {
  const { parts, describe, cacheDir, outDir } = inputs
  const stage = await runStage(cacheDir, {
    name: 'disk',
    inputs: [parts.tools.key, parts.root.key, parts.esp.key],
    code: import.meta.filename,
    run: async (folder) => {
      writeFileSync(join(folder, 'disk.json'), JSON.stringify(await assemble(inputs)))
    },
  })
  const disk = readDisk(stage)
  const folder = join(outDir, disk.digest)
  if (!(await isIntact(folder, disk))) {
    await rm(folder, { recursive: true, force: true })
    const again = await assemble(inputs)
    if (again.digest !== disk.digest) {
      throw new Error(
        `equal inputs gave a disk with the digest ${again.digest}, and before with ${disk.digest}: remove ${cacheDir}/stages`,
      )
    }
  }
  // An earlier bake may have made the same disk from another lock.
  for (const [name, text] of Object.entries(describe(disk))) writeFileAtomic(join(folder, name), text)
  pointLatest(outDir, parts.spec.architecture, disk.digest)
  return { disk, folder, cached: stage.cached }
}

const readDisk = (stage: StageResult) =>
  JSON.parse(readFileSync(join(stage.path, 'disk.json'), 'utf8')) as BakedDisk

async function isIntact(folder: string, { digest }: BakedDisk): Promise<boolean> {
  const file = join(folder, 'disk.raw')
  return existsSync(file) && (await hashFile(file, 'sha256')) === digest
}

async function assemble({ parts, describe, outDir, onProgress }: FolderInputs): Promise<BakedDisk> {
  onProgress('putting the disk together')
  await mkdir(outDir, { recursive: true })
  const work = join(outDir, `.${process.pid}.${randomBytes(4).toString('hex')}.tmp`)
  try {
    await mkdir(work)
    const disk = await writeDisk(join(work, 'disk.raw'), parts)
    for (const [name, text] of Object.entries(describe(disk))) writeFileSync(join(work, name), text)
    await runProgram(['sync', '--file-system', work])
    moveIntoPlace(work, join(outDir, disk.digest))
    return disk
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** The link is `latest` for amd64, and `latest-arm64` for arm64. */
function pointLatest(outDir: string, architecture: string, digest: string): void {
  const name = architecture === 'amd64' ? 'latest' : `latest-${architecture}`
  replaceSymlink(digest, join(outDir, name))
}
