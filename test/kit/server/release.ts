// Another release of the server for tests: this one, bundled with another server/queue/version.ts. Owns: the bundle and
// the link to the native packages that it leaves out. Throws if the build does not replace exactly that file.
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const root = join(import.meta.dirname, '../../..')

export type EntryVersions = {
  /** Entry versions that the release reads and writes back. */
  known: readonly number[]
  /** The version of the entries that it creates. */
  makes: number
}

/** Bundles the server into `folder`. @returns the program's path. */
export async function bundleOtherRelease(
  folder: string,
  name: string,
  release: EntryVersions,
): Promise<string> {
  const outfile = join(folder, `${name}.mjs`)
  const contents = [
    `export const KNOWN_VERSIONS = ${JSON.stringify(release.known)}`,
    `export const ENTRY_VERSION = ${release.makes}`,
  ].join('\n')
  let replaced = 0
  await build({
    absWorkingDir: root,
    entryPoints: [join(root, 'server/main.ts')],
    bundle: true,
    outfile,
    platform: 'node',
    format: 'esm',
    target: 'node26',
    external: ['lmdb'],
    logLevel: 'silent',
    banner: {
      js: "import { createRequire } from 'node:module'\nconst require = createRequire(import.meta.url)",
    },
    plugins: [
      {
        name: 'entry-versions',
        setup: (bundler) =>
          bundler.onLoad({ filter: /server\/queue\/version\.ts$/ }, () => {
            replaced++
            return { contents }
          }),
      },
    ],
  })
  if (replaced !== 1) throw new Error(`server/queue/version.ts was replaced ${replaced} times`)
  return outfile
}

/** Links a folder to the packages that a bundle leaves out. */
export function linkNodeModules(folder: string): void {
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
}
