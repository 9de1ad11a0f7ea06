// `mailfleet bench …`: run one benchmark, print its figures, write build/reports/bench-*.json.
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { benchBake, type BakeBench } from '../images/bench/bake.ts'
import type { Project } from './project.ts'
import { runSteps } from './steps.ts'

type Common = { project: Project; json: boolean; signal: AbortSignal }

/** Times bakes and counts what a change of the server changes. */
export async function bakeBenchmark(o: Common): Promise<number> {
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
  const file = writeReport(o.project, 'bench-bake.json', found!)
  console.log(o.json ? JSON.stringify(found, null, 2) : bakeText(found!, relative(o.project.root, file)))
  return found!.digestsEqual ? 0 : 1
}

function bakeText(b: BakeBench, file: string): string {
  const share = `${b.deltaBlocks} of ${b.blocks} blocks, ${(b.deltaBlocksShare * 100).toFixed(1)} %`
  return [
    `unchanged              ${b.unchangedSeconds.toFixed(1)} s`,
    `the server changed     ${b.appOnlySeconds.toFixed(1)} s, ${share} to upload`,
    `from its downloads     ${b.fullCachedSeconds.toFixed(1)} s`,
    `two from nothing       ${b.digests.map((digest) => digest.slice(0, 16)).join(', ')}`,
    `report                 ${file}`,
  ].join('\n')
}

/** Puts a report in place, in one step. @returns its path. */
function writeReport({ reportsDir }: Project, name: string, report: unknown): string {
  mkdirSync(reportsDir, { recursive: true })
  const file = join(reportsDir, name)
  writeFileSync(`${file}.${process.pid}`, `${JSON.stringify(report, null, 2)}\n`)
  renameSync(`${file}.${process.pid}`, file)
  return file
}
