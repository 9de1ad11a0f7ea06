// Node and npm as one Debian package, and the repository that the mirror serves.
// Owns the package's layout, apt's index, and the broken variant of the package. Fails with dpkg-deb's message.
import { createHash } from 'node:crypto'
import { chmodSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runProgram } from '../../../platform/run-program.ts'

/** The package's name in the repository. */
export const NODE_PACKAGE = 'nodejs'

export type NodePackage = {
  version: string
  /** The binary. */
  node: string
  /** npm's tarball from its registry, with npm's dependencies. */
  npm: string
}

/**
 * Writes the repository into the empty folder `folder`: `Packages`, `Release` and the .deb.
 * @param depends the package's dependencies. An unavailable one breaks the installation. An upstream change does the
 *   same when it publishes a build for the next distribution release to the current one.
 */
export async function writeNodeRepository(
  folder: string,
  { version, node, npm }: NodePackage,
  depends = 'libc6, libstdc++6, libatomic1, ca-certificates',
): Promise<void> {
  const tree = join(folder, 'tree')
  const modules = join(tree, 'usr/lib/node_modules')
  for (const path of ['DEBIAN', 'usr/bin', 'usr/lib/node_modules/npm'])
    mkdirSync(join(tree, path), { recursive: true })
  cpSync(node, join(tree, 'usr/bin/node'))
  chmodSync(join(tree, 'usr/bin/node'), 0o755)
  const into = ['--directory', join(modules, 'npm'), '--strip-components=1']
  await runProgram(['tar', '--extract', '--gzip', '--file', npm, ...into, '--no-same-owner'])
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(tree, 'usr/bin/npm'))
  chmodSync(join(modules, 'npm/bin/npm-cli.js'), 0o755)
  const control = {
    Package: NODE_PACKAGE,
    Version: version,
    Architecture: 'amd64',
    Depends: depends,
    Maintainer: 'mailfleet',
    Description: 'Node.js and npm',
  }
  const stanza = Object.entries(control).map(([key, value]) => `${key}: ${value}\n`)
  writeFileSync(join(tree, 'DEBIAN/control'), stanza.join(''))
  const name = `${NODE_PACKAGE}_${version}_amd64.deb`
  // zstd unpacks fastest of the formats that dpkg reads.
  const argv = ['dpkg-deb', '--root-owner-group', '-Zzstd', '-z3', '--build', tree, join(folder, name)]
  await runProgram(argv)
  await runProgram(['rm', '-r', tree])
  const deb = readFileSync(join(folder, name))
  const file = [`Filename: ./${name}`, `Size: ${deb.length}`, `SHA256: ${sha256(deb)}`, '']
  writeIndex(folder, `${stanza.join('')}${file.join('\n')}`)
}

/** Writes a flat repository (sources.list(5)). It is unsigned, so its source line has `trusted=yes`. */
function writeIndex(folder: string, packages: string): void {
  writeFileSync(join(folder, 'Packages'), packages)
  const release = [
    ['Suite: bench', 'Codename: bench', `Date: ${new Date().toUTCString().replace('GMT', 'UTC')}`],
    ['SHA256:', ` ${sha256(packages)} ${Buffer.byteLength(packages)} Packages`, ''],
  ].flat()
  writeFileSync(join(folder, 'Release'), release.join('\n'))
}

const sha256 = (content: string | Uint8Array) => createHash('sha256').update(content).digest('hex')
