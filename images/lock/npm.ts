// The image's npm packages, from npm's own lock (package-lock.json): version and integrity. Owns: finding an entry and all
// its dependencies at run time on the image's platform. Fails with InputError.
import * as v from 'valibot'
import { checkInput, InputError, readInput, formatValue, type Problem } from '../../input/problems.ts'
import type { Spec } from '../spec.ts'
import type { BundledPackage, LockedNpm } from '../lock-file.ts'

const names = v.optional(v.record(v.string(), v.string()), {})
const oneOrMore = v.union([v.array(v.string()), v.string()])
const entrySchema = v.object({
  version: v.optional(v.string()),
  integrity: v.optional(v.string()),
  license: v.optional(v.string()),
  dev: v.optional(v.boolean(), false),
  dependencies: names,
  optionalDependencies: names,
  os: v.optional(oneOrMore, []),
  cpu: v.optional(oneOrMore, []),
  libc: v.optional(oneOrMore, []),
})
const packageLockSchema = v.object({ packages: v.record(v.string(), entrySchema) })
type PackageLockEntry = v.InferOutput<typeof entrySchema>
type Packages = Record<string, PackageLockEntry>

/** Debian's architecture names → Node's. */
const CPU: Record<Spec['architecture'], string> = { amd64: 'x64', arm64: 'arm64' }

/**
 * The Node binary's package, and the native packages with their dependencies, from a package-lock.json.
 * @throws {InputError} naming every package of the spec that npm's lock lacks or has in another version.
 */
export function lockedNpm(spec: Spec, packageLockFile: string): { node: LockedNpm; native: LockedNpm[] } {
  const { packages } = checkInput(packageLockFile, packageLockSchema, readInput(packageLockFile))
  const problems: Problem[] = []
  const node = packages[`node_modules/${spec.node.package}`]
  if (node?.version !== spec.node.version) {
    problems.push({
      key: spec.node.package,
      found: formatValue(node?.version),
      expected: `${spec.node.version}, as in the image's spec`,
    })
  }
  for (const name of spec.native) {
    if (!packages[`node_modules/${name}`])
      problems.push({ key: name, found: 'nothing', expected: 'a locked package' })
  }
  if (problems.length > 0 || !node) throw new InputError(packageLockFile, problems)
  const paths = closure(packages, spec)
  return {
    node: locked(packageLockFile, spec.node.package, node),
    native: [...paths].sort().map((path) => {
      const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
      return locked(packageLockFile, name, packages[path])
    }),
  }
}

function locked(file: string, name: string, entry: PackageLockEntry | undefined): LockedNpm {
  if (entry?.version === undefined || entry.integrity === undefined) {
    throw new InputError(file, [
      { key: name, found: 'an entry without', expected: 'a version and an integrity' },
    ])
  }
  return { name, version: entry.version, integrity: entry.integrity }
}

function closure(packages: Packages, spec: Spec): Set<string> {
  const found = new Set<string>()
  const visit = (path: string): void => {
    const entry = packages[path]
    if (!entry || found.has(path) || !runsOn(entry, CPU[spec.architecture])) return
    found.add(path)
    for (const name of Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })) {
      const dependency = lookUp(packages, path, name)
      if (dependency !== undefined) visit(dependency)
    }
  }
  for (const name of spec.native) visit(`node_modules/${name}`)
  return found
}

function runsOn({ os, cpu, libc }: PackageLockEntry, wantedCpu: string): boolean {
  const allows = (listed: string | string[], wanted: string) =>
    listed.length === 0 || [listed].flat().includes(wanted)
  return allows(os, 'linux') && allows(cpu, wantedCpu) && allows(libc, 'glibc')
}

/** Node's module resolution: the nearest node_modules above the importing package. */
function lookUp(packages: Packages, from: string, name: string): string | undefined {
  for (let base = from; ; base = base.slice(0, Math.max(0, base.lastIndexOf('/node_modules/')))) {
    const path = base === '' ? `node_modules/${name}` : `${base}/node_modules/${name}`
    if (packages[path]) return path
    if (base === '') return undefined
  }
}

export type NpmComponent = LockedNpm & { license?: string }

/**
 * The bundled packages as npm's lock has them, each version once.
 * @throws {InputError} naming each package whose installed version differs from the lock's.
 */
export function npmComponents(packageLockFile: string, bundled: readonly BundledPackage[]): NpmComponent[] {
  const { packages } = checkInput(packageLockFile, packageLockSchema, readInput(packageLockFile))
  const found = new Map<string, NpmComponent>()
  const problems: Problem[] = []
  for (const { folder, name, version } of bundled) {
    const entry = packages[folder]
    if (entry?.version !== version) {
      const expected = `${entry?.version ?? 'no such package'}, as npm's lock has it; run npm ci`
      problems.push({ key: folder, found: `${version} installed`, expected })
      continue
    }
    const { integrity } = locked(packageLockFile, name, entry)
    const license = entry.license === undefined ? {} : { license: entry.license }
    found.set(`${name}@${version}`, { name, version, integrity, ...license })
  }
  if (problems.length > 0) throw new InputError(packageLockFile, problems)
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, component]) => component)
}
