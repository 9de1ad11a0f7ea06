// The tools tree: the locked programs that put an image together, unpacked. Fails with dpkg-deb's own words.
import { runStage, type StageContext, type StageResult } from '../cache.ts'
import { runProgram } from '../../platform/run-program.ts'
import type { LockedDeb } from '../lock-file.ts'

type TreeContext = Pick<StageContext, 'lock' | 'fetchFiles' | 'cacheDir'>

/** Unpacks the tools. No maintainer script runs, because none of the tools needs its own. */
export async function toolsTree(context: TreeContext): Promise<StageResult> {
  return unpacked('tools', context.lock.tools, context)
}

/**
 * Unpacks the programs that go into the image itself. For an image of the host's architecture that is the tools tree.
 */
export async function targetTree(context: TreeContext, tools: StageResult): Promise<StageResult> {
  const { target } = context.lock
  return target === undefined ? tools : unpacked('target', target, context)
}

async function unpacked(
  name: string,
  locked: readonly LockedDeb[],
  { fetchFiles, cacheDir }: TreeContext,
): Promise<StageResult> {
  // base-files first: it brings /bin → usr/bin and similar links, through which later packages must unpack.
  const debs = [...locked].sort((a, b) => Number(b.name === 'base-files') - Number(a.name === 'base-files'))
  return runStage(cacheDir, {
    name,
    inputs: locked.map(({ sha256 }) => sha256).sort(),
    code: import.meta.filename,
    run: async (folder) => {
      const files = await fetchFiles()
      for (const deb of debs) await runProgram(['dpkg-deb', '--extract', files.path(deb), folder])
    },
  })
}
