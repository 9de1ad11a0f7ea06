// The server as a bundle: one file that starts, and files that it loads when it needs them.
// Fails with the bundler's own list of imports that it cannot find.
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { build, type Metafile, type Plugin } from 'esbuild'
import type { BundledPackage } from '../lock-file.ts'
import type { Spec } from '../spec.ts'

/**
 * Loads Node's own modules by require instead of import. An import reads every export. Reading those of node:http loads
 * Node's whole HTTP client and WebSocket, a tenth of the server's start (16 of 152 ms of processor time).
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

/** `files`: the main module first, then the files that it loads by import(). */
export type ServerBundle = { files: { name: string; text: string }[]; packages: BundledPackage[] }

const SERVER = 'server.mjs'

/**
 * Bundles the server and its npm packages into one file; native packages stay outside. Modules that it loads
 * by import() become separate files. So an instance with an embedded queue does not read the AWS SDK, which
 * is three times as large as the server.
 * @param entry the server's main module
 */
export async function bundleServer(spec: Spec, entry: string): Promise<ServerBundle> {
  if (!existsSync(entry)) throw new Error(`no server to bake: ${entry} does not exist`)
  // Paths of modules in the bundle are relative to the entry's repository.
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
    // ES modules where a package has them, so that esbuild drops unused code and import() finds their names.
    mainFields: ['module', 'main'],
    format: 'esm',
    target: `node${spec.node.version.split('.')[0] ?? ''}`,
    external: spec.native,
    legalComments: 'none',
    logLevel: 'silent',
    plugins: [requireBuiltins],
    // CommonJS packages load Node's own modules with require, which an ES module lacks.
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

/** The packages that have bytes in an output, by esbuild's metafile. */
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
