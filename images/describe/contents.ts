// The contents of a root file system: every file with its hash and its package, the settings of units and kernel, and files
// that give more rights. Owns: reading them from the erofs that goes onto the disk. Fails with the tools' own output.
import {
  chmodSync,
  existsSync,
  lstatSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { hashFile, runStage, temporaryFolder, type StageContext, type StageResult } from '../cache.ts'
import { filesBelow } from '../../platform/files-below.ts'
import { configuration } from './configuration.ts'
import { listErofs, type ErofsNode } from '../formats/erofs-reader.ts'
import { effectiveSysctls, SYSCTL_FOLDERS } from './sysctls.ts'
import { runTool } from '../../platform/sandbox.ts'
import { startedUnits, UNIT_FOLDERS, type UnitFiles, type UnitProperties } from './units.ts'
import { NODE_PATH } from '../../contract/image-paths.ts'

export type ContentFile = {
  path: string
  type: ErofsNode['type']
  /** Octal, as chmod(1) takes it. */
  mode: string
  uid: number
  gid: number
  /** Debian package, npm package (`npm:name`), the image's name, or `(installation)` for files that scripts made. */
  package: string
  /** In bytes, for files only. */
  size?: number
  sha256?: string
  /** For symlinks only. */
  target?: string
}

export type Contents = {
  files: ContentFile[]
  /** Package → bytes of its files, before compression. */
  sizesByPackage: Record<string, number>
  units: Record<string, UnitProperties>
  sysctls: Record<string, string>
  /** Paths that are setuid, setgid or have extended attributes (capabilities are one). */
  setuid: string[]
  /** Configuration files, path → text; see images/describe/configuration.ts. */
  texts: Record<string, string>
}

/** Stages whose results are read. */
export type ContentsParts = { tools: StageResult; base: StageResult; root: StageResult }

type Owners = { ours: ReadonlySet<string>; packages: ReadonlyMap<string, string> }

const SYSTEM = join(import.meta.dirname, '../system')
const SETID = 0o6000
/** The package of files that belong to none. */
const INSTALLATION = '(installation)'

/** Reads the root's contents, or finds them read. The result holds `contents.json` ({@link Contents}). */
export async function rootContents(context: StageContext, parts: ContentsParts): Promise<StageResult> {
  const { spec, lock, cacheDir } = context
  const { tools, base, root } = parts
  return runStage(cacheDir, {
    name: 'contents',
    inputs: {
      keys: [tools.key, base.key, root.key],
      kernel: lock.kernel.name,
      node: lock.node.name,
      name: spec.name,
    },
    code: import.meta.filename,
    run: async (folder) => {
      await using work = temporaryFolder(cacheDir, 'contents')
      const erofs = join(root.path, 'root.erofs')
      const sandbox = {
        tools: tools.path,
        sourceDateEpoch: lock.sourceDateEpoch,
        readOnly: { '/root.erofs': erofs },
        writable: { '/stage': work.path },
      }
      await runTool(sandbox, ['fsck.erofs', '--extract=/stage/root', '--no-preserve', '/root.erofs'])
      const tree = join(work.path, 'root')
      const owners = { ours: new Set(filesBelow(SYSTEM)), packages: packageOwners(base.path) }
      const nodes = listErofs(erofs)
      makeReadable(tree, nodes)
      const files: ContentFile[] = []
      for (const node of nodes) {
        const { path, type, mode, uid, gid, size, target } = node
        files.push({
          path: `/${path}`,
          type,
          mode: mode.toString(8).padStart(4, '0'),
          uid,
          gid,
          package: ownerOf(path, owners, context),
          ...(type === 'file' ? { size, sha256: await hashFile(join(tree, path), 'sha256') } : {}),
          ...(target === undefined ? {} : { target }),
        })
      }
      const privileged = nodes.filter(
        ({ type, mode, hasXattrs }) => type === 'file' && (hasXattrs || (mode & SETID) !== 0),
      )
      const contents: Contents = {
        files,
        sizesByPackage: sizesByPackage(files),
        units: startedUnits(unitFiles(tree)),
        sysctls: effectiveSysctls(textsOf(tree, SYSCTL_FOLDERS)),
        setuid: privileged.map(({ path }) => `/${path}`),
        texts: configuration(tree, files),
      }
      writeFileSync(join(folder, 'contents.json'), JSON.stringify(contents))
    },
  })
}

/** Reads back what {@link rootContents} wrote. */
export function readContents(stage: StageResult): Contents {
  return JSON.parse(readFileSync(join(stage.path, 'contents.json'), 'utf8')) as Contents
}

/** Debian's release number, from /usr/lib/os-release (os-release(5)). */
export function debianRelease({ texts }: Pick<Contents, 'texts'>): string {
  const release = /^VERSION_ID="?([^"\n]+)"?$/m.exec(texts['/usr/lib/os-release'] ?? '')?.[1]
  if (release === undefined) throw new Error("the root's /usr/lib/os-release has no VERSION_ID")
  return release
}

/**
 * Lets the owner read every extracted file and folder. fsck.erofs sets the image's modes, and /etc/gshadow has the mode
 * 0000, which only root can read. The recorded modes come from the erofs itself.
 */
function makeReadable(tree: string, nodes: readonly ErofsNode[]): void {
  // Sorted by path, so a folder comes before its files.
  for (const { path, type, mode } of nodes) {
    if (type === 'directory' && (mode & 0o500) !== 0o500) chmodSync(join(tree, path), 0o700)
    if (type === 'file' && (mode & 0o400) === 0) chmodSync(join(tree, path), 0o600)
  }
}

/** Path → package, from dpkg's lists. A path below a merged folder (/bin, /lib) is listed under /usr. */
function packageOwners(base: string): Map<string, string> {
  const owners = new Map<string, string>()
  const lists = join(base, 'lists')
  for (const list of readdirSync(lists).sort()) {
    const name = list.replace(/(:[a-z0-9]+)?\.list$/, '')
    for (const path of readFileSync(join(lists, list), 'utf8').split('\n'))
      owners.set(path.replace(/^\/(bin|sbin|lib|lib64)\//, '/usr/$1/').slice(1), name)
  }
  return owners
}

/** Our own files take precedence over a package's, as they do on the disk. */
function ownerOf(path: string, owners: Owners, { spec, lock }: Pick<StageContext, 'spec' | 'lock'>): string {
  if (path.startsWith('usr/lib/modules/')) return lock.kernel.name
  if (`/${path}` === NODE_PATH) return `npm:${lock.node.name}`
  const native = /^usr\/lib\/mailfleet\/node_modules\/(@[^/]+\/[^/]+|[^@/][^/]*)/.exec(path)?.[1]
  if (native !== undefined) return `npm:${native}`
  const isOurs = owners.ours.has(path) || /^(usr\/lib\/mailfleet|etc\/systemd\/system)(\/|$)/.test(path)
  return isOurs ? spec.name : (owners.packages.get(path) ?? INSTALLATION)
}

function sizesByPackage(files: readonly ContentFile[]): Record<string, number> {
  const sizes: Record<string, number> = {}
  for (const { package: name, type, size = 0 } of files)
    if (type === 'file') sizes[name] = (sizes[name] ?? 0) + size
  return Object.fromEntries(Object.entries(sizes).sort(([a], [b]) => (a < b ? -1 : 1)))
}

function unitFiles(tree: string): UnitFiles {
  const files = new Map<string, { text: string } | { link: string }>()
  for (const path of pathsBelow(tree, UNIT_FOLDERS)) {
    const file = join(tree, path)
    if (lstatSync(file).isSymbolicLink()) files.set(path, { link: readlinkSync(file) })
    else if (lstatSync(file).isFile()) files.set(path, { text: readFileSync(file, 'utf8') })
  }
  return files
}

const textsOf = (tree: string, folders: readonly string[]) =>
  new Map(
    pathsBelow(tree, folders)
      .filter((path) => lstatSync(join(tree, path)).isFile())
      .map((path) => [path, readFileSync(join(tree, path), 'utf8')] as const),
  )

function pathsBelow(tree: string, folders: readonly string[]): string[] {
  return folders
    .filter((folder) => existsSync(join(tree, folder)))
    .flatMap((folder) =>
      readdirSync(join(tree, folder), { recursive: true, encoding: 'utf8' }).map((path) =>
        join(folder, path),
      ),
    )
    .sort()
}
