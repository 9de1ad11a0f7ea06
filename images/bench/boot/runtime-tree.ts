// The server for an instance that installs at boot: bundle, package.json and lock for `npm ci`.
// Owns the set of npm packages (the server's imports and their dependencies) and their addresses in the lock.
// Fails with the bundler's message, or with InputError.
import { readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { build } from 'esbuild'
import type { LockedNpm } from '../../lock-file.ts'
import { lockedNpm } from '../../lock/npm.ts'
import type { Spec } from '../../spec.ts'

type Entry = { version: string; dependencies?: Names; optionalDependencies?: Names; resolved?: string }
type Names = Record<string, string>
type Packages = Record<string, Entry>

export type RuntimeTree = {
  /** The server's own code: one file for the main module, and one for each module loaded on demand. */
  server: { name: string; text: string }[]
  packageJson: string
  packageLock: string
  /** The packages for the image's platform. */
  packages: LockedNpm[]
}

export type RuntimeTreeOptions = {
  spec: Spec
  /** The server's main module. */
  serverEntry: string
  packageLockFile: string
  /** The guest's URL of the folder of tarballs. */
  tarballs: string
}

/** Collects the files that an instance downloads and installs at boot. */
export async function runtimeTree(o: RuntimeTreeOptions): Promise<RuntimeTree> {
  const { files, imports } = await serverWithoutPackages(o.serverEntry)
  const { packages } = JSON.parse(readFileSync(o.packageLockFile, 'utf8')) as { packages: Packages }
  const dependencies = Object.fromEntries(
    imports.map((name) => [name, packages[`node_modules/${name}`]?.version ?? '']),
  )
  const manifest = { name: 'mailfleet', version: '1.0.0', private: true, dependencies }
  const lock = {
    name: manifest.name,
    version: manifest.version,
    lockfileVersion: 3,
    requires: true,
    packages: { '': manifest, ...lockedEntries(packages, imports, o.tarballs) },
  }
  return {
    server: files,
    packageJson: JSON.stringify(manifest),
    packageLock: JSON.stringify(lock),
    packages: lockedNpm({ ...o.spec, native: imports }, o.packageLockFile).native,
  }
}

/** File name of a package's tarball below {@link RuntimeTreeOptions.tarballs}. */
export function tarballName({ name, version }: Pick<LockedNpm, 'name' | 'version'>): string {
  return `${name.replace('/', '-').replace('@', '')}-${version}.tgz`
}

async function serverWithoutPackages(entry: string) {
  const result = await build({
    absWorkingDir: join(dirname(entry), '..'),
    entryPoints: [entry],
    bundle: true,
    write: false,
    splitting: true,
    metafile: true,
    packages: 'external',
    outdir: '/',
    entryNames: 'server',
    chunkNames: 'part-[hash]',
    outExtension: { '.js': '.mjs' },
    platform: 'node',
    format: 'esm',
    logLevel: 'silent',
  })
  const external = Object.values(result.metafile.outputs).flatMap(({ imports }) =>
    imports.filter((item) => item.external && !item.path.startsWith('node:')),
  )
  const packageName = (path: string) => /^(@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? path
  return {
    files: result.outputFiles.map(({ path, text }) => ({ name: basename(path), text })),
    imports: [...new Set(external.map(({ path }) => packageName(path)))].sort(),
  }
}

/**
 * The entries of npm's lock for these packages. Each has its tarball's address, so npm requests nothing else.
 * Packages of other platforms keep their entries: npm ci refuses a lock that lacks an optional dependency.
 */
function lockedEntries(packages: Packages, names: readonly string[], tarballs: string): Packages {
  const found: Packages = {}
  const visit = (path: string): void => {
    const entry = packages[path]
    if (!entry || found[path]) return
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
    found[path] = { ...entry, resolved: `${tarballs}/${tarballName({ name, version: entry.version })}` }
    for (const needed of Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })) {
      const nested = `${path}/node_modules/${needed}`
      visit(packages[nested] ? nested : `node_modules/${needed}`)
    }
  }
  for (const name of names) visit(`node_modules/${name}`)
  return Object.fromEntries(Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1)))
}
