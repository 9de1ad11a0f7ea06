// The stage that unpacks the Node binary and the native npm packages from their locked tarballs.
// Owns: which files of them an image gets. Fails with tar's own words.
import { cpSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { runStage, temporaryFolder, type StageContext, type StageResult } from '../cache.ts'
import { withoutSymbols } from '../formats/elf.ts'
import { filesBelow } from '../../platform/files-below.ts'
import { runProgram } from '../../platform/run-program.ts'

/** Files of a native package that run: no sources, types or hidden files. */
const RUNS = /(\.[cm]?js|\/package\.json|\.node)$/
/** Builds for another C library or another ABI of Node, tests, and the sources of dependencies. */
const RUNS_ELSEWHERE = /(\.(musl|abi\d+)\.|\/(src|test|tests|benchmark|bench|deps|dependencies|\.[^/]+)\/)/

/** Unpacks the binary and the native packages. The result holds `node` and `node_modules/`. */
export async function nodeRuntime({ lock, fetchFiles, cacheDir }: StageContext): Promise<StageResult> {
  return runStage(cacheDir, {
    name: 'runtime',
    inputs: [lock.node, ...lock.native].map(({ name, integrity }) => [name, integrity]),
    code: import.meta.filename,
    run: async (folder) => {
      const files = await fetchFiles()
      await using work = temporaryFolder(cacheDir, 'npm')
      await unpack(files.path(lock.node), work.path, ['package/bin/node'])
      // A quarter of the binary is symbols.
      const node = withoutSymbols(readFileSync(join(work.path, 'package/bin/node')))
      writeFileSync(join(folder, 'node'), node, { mode: 0o755 })
      for (const item of lock.native) {
        const from = join(work.path, item.name)
        mkdirSync(from, { recursive: true })
        await unpack(files.path(item), from, [])
        copyRunning(from, join(folder, 'node_modules', item.name))
      }
    },
  })
}

function copyRunning(unpacked: string, to: string): void {
  // A tarball's one top folder is called "package" by custom, not by rule.
  const isFolder = (name: string) => statSync(join(unpacked, name)).isDirectory()
  const top = join(unpacked, readdirSync(unpacked).find(isFolder) ?? '')
  const runs = (path: string) => RUNS.test(`/${path}`) && !RUNS_ELSEWHERE.test(`/${path}`)
  for (const path of filesBelow(top).filter(runs)) {
    mkdirSync(dirname(join(to, path)), { recursive: true })
    cpSync(join(top, path), join(to, path))
  }
}

async function unpack(tarball: string, folder: string, members: readonly string[]): Promise<void> {
  await runProgram(['tar', '--extract', '--gzip', '--file', tarball, '--directory', folder, ...members])
}
