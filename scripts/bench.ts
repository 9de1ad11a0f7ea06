// `mailfleet bench …`: run one benchmark, print its figures, write build/reports/bench-*.json.
import { dirname, join, relative } from 'node:path'
import { benchBake, type BakeBench } from '../images/bench/bake/bench.ts'
import { benchFolder, bootBench, prepareBoots, type Prepared } from '../images/bench/boot/bench.ts'
import { shortfalls } from '../images/bench/boot/report.ts'
import { bootMarkdown, bootText } from '../images/bench/boot/report-text.ts'
import { bakeMarkdown, bakeText } from '../images/bench/bake/report-text.ts'
import { documentSection } from '../images/bench/document.ts'
import { buildImage, type BuiltImage } from '../images/bake/bake.ts'
import type { Project } from './project.ts'
import { runSteps, untilAborted, type Progress } from './steps.ts'
import { writeReport } from './report-file.ts'

type Common = { project: Project; json: boolean; signal: AbortSignal }

/** Times bakes and counts what a change of the server changes. */
export async function bakeBenchmark(o: Common & { document: boolean }): Promise<number> {
  const { specFile, lockFile, localLockFile, cacheDir, serverEntry, imagesDir } = o.project
  let found: BakeBench | undefined
  const step = {
    title: 'Bench of the bake',
    run: async (onProgress: (line: string) => void) => {
      found = await benchBake({
        ...{ specFile, lockFile, cacheDir, serverEntry, outDir: imagesDir, relockInto: localLockFile },
        ...{ onProgress, signal: o.signal },
      })
      return `${found.digestsEqual ? 'one digest' : 'different digests'}`
    },
  }
  await runSteps([step], { out: o.json ? process.stderr : process.stdout, signal: o.signal })
  const file = writeReport(o.project.reportsDir, 'bench-bake.json', found!)
  if (o.document) documentSection(documentOf(o.project), 'Bake', bakeMarkdown(found!))
  console.log(o.json ? JSON.stringify(found, null, 2) : bakeText(found!, relative(o.project.root, file)))
  return found!.digestsEqual ? 0 : 1
}

/** Compares the golden image with conventional ones, boot by boot. @returns 1 when it falls short of its goals. */
export async function bootBenchmark(o: Common & { document: boolean }): Promise<number> {
  const { project, signal, json } = o
  const { specFile, lockFile, localLockFile, serverEntry, packageLockFile, cacheDir, imagesDir } = project
  const screen = { out: json ? process.stderr : process.stdout, signal }
  await using folder = benchFolder(cacheDir)
  let image: BuiltImage | undefined
  let prepared: Prepared | undefined
  const options = {
    ...{ specFile, serverEntry, packageLockFile, cacheDir, signal },
    localLockFile: localLock(project),
  }
  const bake = async (onProgress: Progress) => {
    const where = { specFile, lockFile, cacheDir, serverEntry, outDir: imagesDir, relockInto: localLockFile }
    image = await untilAborted(buildImage({ ...where, onProgress }), signal)
    return image.digest.slice(0, 16)
  }
  const prepare = async (onProgress: Progress) => {
    prepared = await untilAborted(prepareBoots(image!, folder.path, { ...options, onProgress }), signal)
    return prepared.conventionalLocked ? 'as locked' : 'locked anew'
  }
  const first = [
    { title: 'Golden image', run: bake },
    { title: 'Conventional images', run: prepare },
  ]
  await runSteps(first, screen)
  const { steps, report } = await bootBench(image!, prepared!, { cacheDir, signal })
  await runSteps(steps, screen)
  const found = report()
  const file = writeReport(project.reportsDir, 'bench-boot.json', found)
  if (o.document) documentSection(documentOf(project), 'Boot', bootMarkdown(found))
  console.log(json ? JSON.stringify(found, null, 2) : bootText(found, relative(project.root, file)))
  return shortfalls(found).length === 0 ? 0 : 1
}

/** The conventional image's stand-in lock lies beside the golden one's. */
const localLock = ({ localLockFile }: Project) => join(dirname(localLockFile), 'conventional.lock.local.json')

const documentOf = ({ root }: Project) => join(root, 'docs/benchmarks.md')
