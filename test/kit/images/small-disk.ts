// A bake on a disk that is too small or read-only: a process of its own, in a mount namespace where a folder is one.
import { spawn, spawnSync } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { join } from 'node:path'
import type { BuildOptions } from '../../../images/bake/bake.ts'

const build = join(import.meta.dirname, '../../../images/bake/bake.ts')
/**
 * Mounts a tmpfs with options $2 at $1, prepares it with the script $3, and runs what follows. The remount names its
 * source, so that mount(8) drops the options of before: in a user namespace the kernel refuses the uid among them.
 */
const SETUP = `mount -t tmpfs tmpfs "$1" && cd "$1" && sh -c "$3" && mount -t tmpfs -o "remount,$2" tmpfs "$1" && shift 3 && exec "$@"`

/** Not as root one needs a user namespace. */
const NAMESPACE = ['--mount', ...(process.getuid?.() === 0 ? [] : ['--map-root-user'])]

/** Why this machine cannot make such a disk; undefined where it can. */
export function noSmallDisks(): string | undefined {
  const tried = spawnSync('unshare', [...NAMESPACE, '--', 'mount', '-t', 'tmpfs', 'tmpfs', '/tmp'])
  return tried.status === 0 ? undefined : 'this user may not mount a tmpfs, not even in a namespace'
}

export type SmallDisk = {
  /** Where it is mounted. */
  at: string
  /** mount(8) options: `size=1m`, `ro`. */
  options: string
  /** Shell commands that fill it before. */
  prepare?: string
}

/**
 * Bakes there, and tells the error's message and every path that is left on the small disk.
 */
export async function bakeOn(
  disk: SmallDisk,
  options: BuildOptions,
): Promise<{ message: string; left: string[] }> {
  const script = `import { readdirSync } from 'node:fs'
    import { buildImage } from ${JSON.stringify(build)}
    const message = await buildImage(${JSON.stringify(options)}).then(() => 'it was baked', (error) => error.message)
    const left = readdirSync(${JSON.stringify(disk.at)}, { recursive: true })
    console.log(JSON.stringify({ message, left }))`
  const node = [process.execPath, '--input-type=module', '--eval', script]
  const sh = ['sh', '-c', SETUP, 'sh', disk.at, disk.options, disk.prepare ?? ':', ...node]
  const child = spawn('unshare', [...NAMESPACE, '--', ...sh], { stdio: ['ignore', 'pipe', 'pipe'] })
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)])
  try {
    return JSON.parse(out) as { message: string; left: string[] }
  } catch (cause) {
    throw new Error(`no answer: ${out}${err}`, { cause })
  }
}
