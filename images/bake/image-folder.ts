// The folder of an image, `<outDir>/<digest>/`: the disk, its manifest, its lock. Owns: that it appears whole or not at
// all, that what is found there is what was made, and `latest`. Fails when a cache says one thing and the disk another.
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
 * Puts the disk together, unless it is there already and intact, and points `latest` at it.
 * The disk goes straight to the output; the cache keeps only what came out, to know it again.
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
        `the disk came out as ${again.digest}, before as ${disk.digest}: remove ${cacheDir}/stages`,
      )
    }
  }
  // The same disk may have been made from another lock before.
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

/** `latest`, and for another architecture than amd64 `latest-arm64`. */
function pointLatest(outDir: string, architecture: string, digest: string): void {
  const name = architecture === 'amd64' ? 'latest' : `latest-${architecture}`
  replaceSymlink(digest, join(outDir, name))
}
