// The initrd: busybox, dmsetup, the modules to reach the root, and the script initrd/init, which mounts it.
// Owns: its contents and compression. It is equal for every root, which the kernel command line names.
// Fails with the tool's own output.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runStage, type StageContext, type StageResult } from '../cache.ts'
import { characterDevice, regularFile, symbolicLink, writeCpio, type CpioEntry } from '../formats/cpio.ts'
import type { Spec } from '../spec.ts'
import { runTool } from '../../platform/sandbox.ts'

const INIT = join(import.meta.dirname, 'initrd/init')

/** The dynamic loader, which can list the libraries a program needs. */
const LOADER = { amd64: '/lib64/ld-linux-x86-64.so.2', arm64: '/lib/ld-linux-aarch64.so.1' }

/** Stages whose results go into the initrd. */
export type InitrdParts = {
  tools: StageResult
  /** Programs of the image's architecture. */
  target: StageResult
  kernel: StageResult
}

/** Packs the initrd. The result holds `initrd.zst`. */
export async function initrd(context: StageContext, parts: InitrdParts): Promise<StageResult> {
  const { spec, lock, cacheDir } = context
  const { tools, target, kernel } = parts
  return runStage(cacheDir, {
    name: 'initrd',
    inputs: { kernel: kernel.key, target: target.key, user: spec.user },
    code: import.meta.filename,
    run: async (folder) => {
      const sandbox = {
        tools: tools.path,
        sourceDateEpoch: lock.sourceDateEpoch,
        writable: { '/stage': folder },
        cwd: '/stage',
      }
      const listing = { ...sandbox, tools: target.path }
      const libraries = await runTool(listing, [LOADER[spec.architecture], '--list', '/usr/sbin/dmsetup'])
      const entries = [
        ...['dev', 'proc', 'sys', 'root'].map((path) => ({ path, mode: 0o040755 })),
        { path: 'dev/console', mode: characterDevice(0o600), device: [5, 1] as [number, number] },
        { path: 'init', mode: regularFile(0o755), content: initScript(spec) },
        {
          path: 'bin/busybox',
          mode: regularFile(0o755),
          content: readFileSync(join(target.path, 'usr/bin/busybox')),
        },
        {
          path: 'bin/dmsetup',
          mode: regularFile(0o755),
          content: readFileSync(join(target.path, 'usr/sbin/dmsetup')),
        },
        ...entriesOfLibraries(target.path, libraries),
        ...moduleEntries(kernel.path),
      ]
      writeFileSync(join(folder, 'initrd'), writeCpio(entries))
      await runTool(sandbox, ['zstd', '-19', '--quiet', '--rm', 'initrd'])
    },
  })
}

function initScript({ user }: Spec): string {
  return readFileSync(INIT, 'utf8').replaceAll('@uid@', String(user.id))
}

/** Parses the loader's list: `name => /path (address)`, or `/path (address)` for the loader. */
function entriesOfLibraries(tree: string, list: string): CpioEntry[] {
  const paths = [...list.matchAll(/(\/\S+) \(0x/g)].map(([, path = '']) => path)
  const files = paths.map((path) => ({
    path: path.replace(/^\/(usr\/)?/, 'usr/'),
    mode: regularFile(0o755),
    content: readFileSync(join(tree, path.replace(/^\/(usr\/)?/, 'usr/'))),
  }))
  const links = ['lib', 'lib64'].map((path) => ({ path, mode: symbolicLink, content: `usr/${path}` }))
  return [...files, ...links]
}

function moduleEntries(kernel: string): CpioEntry[] {
  const release = readFileSync(join(kernel, 'release'), 'utf8')
  const order = readFileSync(join(kernel, 'initrd-modules'), 'utf8').trim().split('\n')
  const flat = (path: string) => path.slice(path.lastIndexOf('/') + 1)
  return [
    {
      path: 'modules/order',
      mode: regularFile(0o644),
      content: order.map((path) => `${flat(path)}\n`).join(''),
    },
    ...order.map((path) => ({
      path: `modules/${flat(path)}`,
      mode: regularFile(0o644),
      content: readFileSync(join(kernel, 'modules', release, path)),
    })),
  ]
}
