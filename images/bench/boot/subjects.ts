// The compared images, ready to boot: golden, conventional with the golden image's server, conventional without it.
// Owns the overlay of the conventional root. All get the same server, Node and configuration. Fails as a bake does.
import { NODE_PATH, SERVER_FOLDER, SPOOL_PATH } from '../../../contract/image-paths.ts'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { filesBelow } from '../../../platform/files-below.ts'
import { serverCredentials } from '../../boot/server-credentials.ts'
import { makeSpoolDisk } from '../../boot/spool-disk.ts'
import type { StageResult } from '../../cache.ts'
import { runProgram } from '../../../platform/run-program.ts'
import type { LockedNpm } from '../../lock-file.ts'
import { extractRoot } from '../../bake/extract-root.ts'
import type { Spec } from '../../spec.ts'
import type { TarEntry } from '../../formats/tar-writer.ts'
import { conventionalDisk } from './conventional-disk.ts'
import { NPM, type Conventional } from './conventional.ts'
import type { Subject } from './measure.ts'
import type { Served } from './mirror.ts'
import { writeNodeRepository } from './node-package.ts'
import { tarballName, type RuntimeTree } from './runtime-tree.ts'
import { makeSeedDisk } from './seed-disk.ts'
import * as guest from './user-data.ts'

/** The same size as in the boot test. The file is sparse. */
const SPOOL_BYTES = 256 * 1024 * 1024
/** No archive has this version. A package built for a later distribution release could require it. */
const UNSATISFIABLE = 'libc6 (>= 99)'

/** The golden image as an instance starts it: with a configuration, and with its queue on a disk. */
export function goldenSubject(disk: string): Subject {
  return {
    image: disk,
    credentials: serverCredentials(),
    otherDisks: async (folder) => {
      const file = join(folder, 'spool.raw')
      await makeSpoolDisk(file, SPOOL_BYTES)
      return [{ name: 'spool', file, writable: true }]
    },
  }
}

type Parts = { packages: Conventional; tools: StageResult; root: StageResult }

/** The conventional image, with the server from the golden image in `golden.folder` already installed. */
export async function preinstalledSubject(
  parts: Parts,
  golden: { folder: string; digest: string },
): Promise<Subject> {
  const { cacheDir, spec } = parts.packages
  const server = join(await extractRoot(golden, { cacheDir }), SERVER_FOLDER)
  const overlay = [
    ...filesBelow(server).map((path) => ({
      path: `${SERVER_FOLDER.slice(1)}/${path}`,
      file: join(server, path),
      mode: path === 'node' ? 0o755 : 0o644,
    })),
    ...unitEntries(spec),
  ]
  const disk = await conventionalDisk({ ...parts, overlay, overlayKey: [golden.digest, unitText()] })
  return seeded(disk, parts.tools.path, guest.preinstalledUserData())
}

/** The conventional image without the server. Its user data installs the server at boot. */
export async function installingSubject(parts: Parts): Promise<Subject> {
  const disk = await conventionalDisk({ ...parts, overlay: [], overlayKey: 'nothing' })
  return seeded(disk, parts.tools.path, guest.installingUserData())
}

function seeded(disk: StageResult, tools: string, userData: string): Subject {
  return {
    image: join(disk.path, 'disk.raw'),
    otherDisks: async (folder) => [
      { name: 'seed', file: await makeSeedDisk(tools, folder, userData), writable: false },
    ],
  }
}

const unitText = () => guest.serverUnit(NODE_PATH)

function unitEntries({ user }: Spec): TarEntry[] {
  const wanted = 'etc/systemd/system/multi-user.target.wants/mailfleet.service'
  return [
    { path: guest.UNIT_PATH, content: unitText() },
    { path: wanted, link: `/${guest.UNIT_PATH}` },
    { path: SPOOL_PATH.slice(1), directory: true, uid: user.id, gid: user.id },
  ]
}

/**
 * Writes the files of two mirrors below `folder`. The second has a Node package that cannot be installed.
 * @param node the golden image's Node
 */
export async function mirrorFiles(
  folder: string,
  { packages, tree, node }: { packages: Conventional; tree: RuntimeTree; node: string },
): Promise<{ whole: Served; broken: Served }> {
  const { version } = packages.lock.node
  const parts = { node, npm: packages.fetched.path(NPM) }
  const [whole, broken] = [join(folder, 'whole'), join(folder, 'broken')]
  for (const path of [whole, broken]) mkdirSync(path)
  await writeNodeRepository(whole, { ...parts, version: `${version}-1` })
  await writeNodeRepository(broken, { ...parts, version: `${version}-2` }, UNSATISFIABLE)
  const others = new Map<string, string | Buffer>([
    [new URL(guest.SERVER_ARCHIVE).pathname, await serverArchive(folder, tree)],
    ...tree.packages.map((item) => [tarballPath(item), packages.fetched.path(item)] as const),
  ])
  const repository = (from: string) =>
    filesBelow(from).map((name) => [`${new URL(guest.APT).pathname}/${name}`, join(from, name)] as const)
  return {
    whole: new Map([...others, ...repository(whole)]),
    broken: new Map([...others, ...repository(broken)]),
  }
}

const tarballPath = (item: LockedNpm) => `${new URL(guest.TARBALLS).pathname}/${tarballName(item)}`

async function serverArchive(folder: string, tree: RuntimeTree): Promise<Buffer> {
  const source = join(folder, 'server')
  mkdirSync(source)
  for (const { name, text } of tree.server) writeFileSync(join(source, name), text)
  writeFileSync(join(source, 'package.json'), tree.packageJson)
  writeFileSync(join(source, 'package-lock.json'), tree.packageLock)
  const file = join(folder, 'server.tar.gz')
  await runProgram(['tar', '--create', '--gzip', '--file', file, '--directory', source, '.'])
  return readFileSync(file)
}
