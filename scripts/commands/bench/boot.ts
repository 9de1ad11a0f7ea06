// `mailfleet bench boot`: boots three kinds of image, prints how they compare, and writes bench-boot.json.
import { dirname, join, relative } from 'node:path'
import type { Command } from 'commander'
import { buildImage, type BuiltImage } from '../../../images/bake/bake.ts'
import { benchFolder, bootBench, prepareBoots, type Prepared } from '../../../images/bench/boot/bench.ts'
import { shortfalls } from '../../../images/bench/boot/report.ts'
import { bootMarkdown, bootText } from '../../../images/bench/boot/report-text.ts'
import { documentSection } from '../../../images/bench/document.ts'
import type { OnProgress } from '../../../platform/progress.ts'
import type { CommandContext, CommonOptions } from '../../options.ts'
import type { Project } from '../../project.ts'
import { writeReport } from '../../report-file.ts'
import { runSteps, untilAborted } from '../../steps.ts'

export default function addBenchBoot(bench: Command, context: CommandContext): void {
  bench
    .command('boot')
    .description(
      'boot the golden image, a conventional one, and one that installs at boot; compare; writes bench-boot.json',
    )
    .option('--document', 'also write the figures into docs/benchmarks.md')
    .option('--json', 'print the figures as JSON')
    .action(async ({ json = false, document = false }: { json?: boolean; document?: boolean }) => {
      process.exitCode = await benchmark({ ...context, json, document })
    })
}

/** Compares the golden image with conventional ones, boot by boot. @returns 1 when it falls short of its goals */
async function benchmark(o: CommonOptions & { document: boolean }): Promise<number> {
  const { project, signal, json } = o
  const { specFile, lockFile, localLockFile, serverEntry, packageLockFile, cacheDir, imagesDir } = project
  const screen = { out: json ? process.stderr : process.stdout, signal }
  await using folder = benchFolder(cacheDir)
  let image: BuiltImage | undefined
  let prepared: Prepared | undefined
  const options = {
    specFile,
    serverEntry,
    packageLockFile,
    cacheDir,
    signal,
    localLockFile: localLock(project),
  }
  const bake = async (onProgress: OnProgress) => {
    const where = { specFile, lockFile, cacheDir, serverEntry, outDir: imagesDir, relockInto: localLockFile }
    image = await untilAborted(buildImage({ ...where, onProgress }), signal)
    return image.digest.slice(0, 16)
  }
  const prepare = async (onProgress: OnProgress) => {
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
  if (o.document) documentSection(join(project.root, 'docs/benchmarks.md'), 'Boot', bootMarkdown(found))
  console.log(json ? JSON.stringify(found, null, 2) : bootText(found, relative(project.root, file)))
  return shortfalls(found).length === 0 ? 0 : 1
}

/** The conventional image's stand-in lock lies beside the golden one's. */
const localLock = ({ localLockFile }: Project) => join(dirname(localLockFile), 'conventional.lock.local.json')
