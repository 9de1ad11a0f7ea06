// `mailfleet bench bake`: times bakes, prints the figures, and writes build/reports/bench-bake.json.
import { join, relative } from 'node:path'
import type { Command } from 'commander'
import { benchBake, type BakeBench } from '../../../images/bench/bake/bench.ts'
import { bakeMarkdown, bakeText } from '../../../images/bench/bake/report-text.ts'
import { documentSection } from '../../../images/bench/document.ts'
import type { OnProgress } from '../../../platform/progress.ts'
import type { CommandContext, CommonOptions } from '../../options.ts'
import { writeReport } from '../../report-file.ts'
import { runSteps } from '../../steps.ts'

export default function addBenchBake(bench: Command, context: CommandContext): void {
  bench
    .command('bake')
    .description('time bakes: unchanged, the server changed, from nothing twice; writes bench-bake.json')
    .option('--document', 'also write the figures into docs/benchmarks.md')
    .option('--json', 'print the figures as JSON')
    .action(async ({ json = false, document = false }: { json?: boolean; document?: boolean }) => {
      process.exitCode = await benchmark({ ...context, json, document })
    })
}

/** Times bakes and counts how many blocks a change of the server alone changes. */
async function benchmark(o: CommonOptions & { document: boolean }): Promise<number> {
  const { specFile, lockFile, localLockFile, cacheDir, serverEntry, imagesDir } = o.project
  let found: BakeBench | undefined
  const step = {
    title: 'Bench of the bake',
    run: async (onProgress: OnProgress) => {
      found = await benchBake({
        specFile,
        lockFile,
        cacheDir,
        serverEntry,
        outDir: imagesDir,
        relockInto: localLockFile,
        onProgress,
        signal: o.signal,
      })
      return found.digestsEqual ? 'one digest' : 'different digests'
    },
  }
  await runSteps([step], { out: o.json ? process.stderr : process.stdout, signal: o.signal })
  const file = writeReport(o.project.reportsDir, 'bench-bake.json', found!)
  if (o.document) documentSection(join(o.project.root, 'docs/benchmarks.md'), 'Bake', bakeMarkdown(found!))
  console.log(o.json ? JSON.stringify(found, null, 2) : bakeText(found!, relative(o.project.root, file)))
  return found!.digestsEqual ? 0 : 1
}
