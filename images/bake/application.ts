// The application layer: the Node binary and native npm packages out of their locked tarballs, and the server as a
// bundle. Owns: what lies in /usr/lib/mailfleet. Fails with the bundler's own list of what it cannot find.
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { build, type Metafile, type Plugin } from 'esbuild'
import { runStage, temporaryFolder, type StageResult } from '../cache.ts'
import { withoutSymbols } from '../formats/elf.ts'
import type { Fetch } from '../archive/fetch.ts'
import { runProgram } from '../../platform/run-program.ts'
import type { Lock } from '../lock-file.ts'
import type { Spec } from '../spec.ts'
import type { TarEntry } from '../formats/tar-writer.ts'

/** Of a native package only what runs: no sources, no types, nothing hidden, no builds for other C libraries or other Node ABIs. */
const RUNS = /(\.[cm]?js|\/package\.json|\.node)$/
const RUNS_ELSEWHERE = /(\.(musl|abi\d+)\.|\/(src|test|tests|benchmark|bench|deps|dependencies|\.[^/]+)\/)/

/** Unpacks the binary and the native packages. The result holds `node` and `node_modules/`. */
export async function runtime(lock: Lock, obtain: Fetch, cacheDir: string): Promise<StageResult> {
  return runStage(cacheDir, {
    name: 'runtime',
    inputs: [lock.node, ...lock.native].map(({ name, integrity }) => [name, integrity]),
    code: [import.meta.filename, join(import.meta.dirname, '../formats/elf.ts')],
    run: async (folder) => {
      const fetched = await obtain()
      await using work = temporaryFolder(cacheDir, 'npm')
      await unpack(fetched.path(lock.node), work.path, ['package/bin/node'])
      // A quarter of the binary is symbols.
      const node = withoutSymbols(readFileSync(join(work.path, 'package/bin/node')))
      writeFileSync(join(folder, 'node'), node, { mode: 0o755 })
      for (const item of lock.native) {
        const from = join(work.path, item.name)
        mkdirSync(from, { recursive: true })
        await unpack(fetched.path(item), from, [])
        // A tarball's one top folder is called "package" by custom, not by rule.
        const top = join(
          from,
          readdirSync(from).find((name) => statSync(join(from, name)).isDirectory()) ?? '',
        )
        for (const path of filesBelow(top).filter(
          (name) => RUNS.test(`/${name}`) && !RUNS_ELSEWHERE.test(`/${name}`),
        )) {
          const to = join(folder, 'node_modules', item.name, path)
          mkdirSync(dirname(to), { recursive: true })
          cpSync(join(top, path), to)
        }
      }
    },
  })
}

async function unpack(tarball: string, folder: string, members: readonly string[]): Promise<void> {
  await runProgram([
    'tar',
    '--extract',
    '--gzip',
    ...['--file', tarball],
    ...['--directory', folder],
    ...members,
  ])
}

/**
 * Node's own modules by require instead of import. An import reads every export, and to read those of node:http loads
 * Node's whole HTTP client and WebSocket: a tenth of the server's start (16 of 152 ms of processor time).
 */
const requireBuiltins: Plugin = {
  name: 'require-builtins',
  setup(bundler) {
    bundler.onResolve({ filter: /^node:/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'builtin' } : { path, external: true },
    )
    bundler.onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = require(${JSON.stringify(path)})`,
    }))
  },
}

/** `files`: the server, first, and what it loads only when it is used (an import() and what hangs on it). */
export type Bundle = { files: { name: string; text: string }[]; packages: BundledPackage[] }

/** An npm package of which code is in the bundle. `folder`: below the repository, as package-lock.json names it. */
export type BundledPackage = { folder: string; name: string; version: string }

const SERVER = 'server.mjs'

/**
 * The server in one file, its npm packages included, the native ones left outside. What it imports by import() is in
 * files of its own, so that an instance whose queue is on its disk does not read AWS's SDK, three times its own size.
 * @param entry the server's main module
 */
export async function bundleServer(spec: Spec, entry: string): Promise<Bundle> {
  if (!existsSync(entry)) throw new Error(`no server to bake: ${entry} does not exist`)
  // What the bundle says of its modules' places is relative to the repository that the entry is in.
  const repository = join(dirname(entry), '..')
  const result = await build({
    absWorkingDir: repository,
    entryPoints: [entry],
    bundle: true,
    write: false,
    splitting: true,
    preserveSymlinks: true,
    outdir: '/',
    entryNames: SERVER.replace('.mjs', ''),
    chunkNames: 'part-[hash]',
    outExtension: { '.js': '.mjs' },
    metafile: true,
    platform: 'node',
    // ES modules where a package has them: a file of its own gives out their names, and only what is used is kept.
    mainFields: ['module', 'main'],
    format: 'esm',
    target: `node${spec.node.version.split('.')[0] ?? ''}`,
    external: spec.native,
    legalComments: 'none',
    logLevel: 'silent',
    plugins: [requireBuiltins],
    // CommonJS packages ask for Node's own modules with require, which an ES module lacks.
    banner: {
      js: "import { createRequire } from 'node:module'\nconst require = createRequire(import.meta.url)",
    },
  })
  const files = result.outputFiles.map(({ path, text }) => ({ name: basename(path), text }))
  const inOrder = files.sort(
    (a, b) => Number(b.name === SERVER) - Number(a.name === SERVER) || (a.name < b.name ? -1 : 1),
  )
  return { files: inOrder, packages: bundledPackages(result.metafile, repository) }
}

/** By esbuild's own account: what an output has bytes of. */
function bundledPackages({ outputs }: Metafile, repository: string): BundledPackage[] {
  const paths = Object.values(outputs).flatMap(({ inputs }) =>
    Object.entries(inputs).flatMap(([path, { bytesInOutput }]) => (bytesInOutput > 0 ? [path] : [])),
  )
  const folders = paths.flatMap(
    (path) =>
      /^(?:.*\/)?(?:node_modules\/(?:@[^/]+\/)?[^/]+)(?=\/(?!.*node_modules\/))/.exec(path)?.[0] ?? [],
  )
  return [...new Set(folders)].sort().map((folder) => {
    const file = join(repository, folder, 'package.json')
    const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as { name: string; version: string }
    return { folder, name, version }
  })
}

const HOME = 'usr/lib/mailfleet'

/** Node and the native packages as tar entries. */
export function runtimeEntries(runtimeFolder: string): TarEntry[] {
  return [
    { path: `${HOME}/node`, file: join(runtimeFolder, 'node'), mode: 0o755 },
    ...filesBelow(join(runtimeFolder, 'node_modules')).map((path) => ({
      path: `${HOME}/node_modules/${path}`,
      file: join(runtimeFolder, 'node_modules', path),
    })),
  ]
}

/** The server as tar entries. */
export function serverEntries({ files }: Bundle): TarEntry[] {
  return files.map(({ name, text }) => ({ path: `${HOME}/${name}`, content: text }))
}

/** Paths of all files below a folder, relative to it, sorted. */
export function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort()
}
