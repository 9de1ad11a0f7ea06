// The kernel and the modules that an instance needs, from the locked kernel package, which is unpacked and not installed.
// Owns: the choice of modules and of all they depend on (modules.dep). Modules are stored uncompressed: the initrd and the
// root file system compress them better, and loading them costs less at boot. Fails with the tool's own output.
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { runStage, temporaryFolder, type StageContext, type StageResult } from '../cache.ts'
import { runProgram } from '../../platform/run-program.ts'
import { runTool } from '../../platform/sandbox.ts'

/**
 * Unpacks kernel and modules. The result holds `vmlinuz`, `release` (the kernel's version), `config`, `modules/`
 * (a /usr/lib/modules with what spec.modules names) and `initrd-modules` (paths in loading order, one a line).
 */
export async function kernelFiles(context: StageContext, { path: tools }: StageResult): Promise<StageResult> {
  const { spec, lock, fetchFiles, cacheDir } = context
  return runStage(cacheDir, {
    name: 'kernel',
    inputs: {
      kernel: lock.kernel.sha256,
      modules: spec.modules,
      tools: lock.tools.map(({ sha256 }) => sha256).sort(),
    },
    code: import.meta.filename,
    run: async (folder) => {
      const files = await fetchFiles()
      await using work = temporaryFolder(cacheDir, 'kernel')
      await runProgram(['dpkg-deb', '--extract', files.path(lock.kernel), work.path])
      const release = readdirSync(join(work.path, 'usr/lib/modules'))[0] ?? ''
      const run = (argv: readonly string[], at: string) =>
        runTool(
          { tools, sourceDateEpoch: lock.sourceDateEpoch, writable: { '/stage': at }, cwd: '/stage' },
          argv,
        )
      await run(['depmod', '--basedir', '/stage/usr', release], work.path)

      const all = join(work.path, 'usr/lib/modules', release)
      const dependencies = parseModulesDep(readFileSync(join(all, 'modules.dep'), 'utf8'))
      const wanted = loadingOrder(dependencies, [...spec.modules.initrd, ...spec.modules.root])
      const kept = join(folder, 'modules', release)
      for (const path of wanted) {
        mkdirSync(dirname(join(kept, path)), { recursive: true })
        cpSync(join(all, path), join(kept, path))
      }
      const compressed = wanted.filter((path) => path.endsWith('.xz'))
      await run(['xz', '--decompress', ...compressed.map((path) => `modules/${release}/${path}`)], folder)
      for (const name of ['modules.builtin', 'modules.builtin.modinfo', 'modules.order']) {
        if (existsSync(join(all, name))) cpSync(join(all, name), join(kept, name))
      }
      await runTool(
        {
          tools,
          sourceDateEpoch: lock.sourceDateEpoch,
          writable: { '/stage/lib/modules': join(folder, 'modules') },
        },
        ['depmod', '--basedir', '/stage', release],
      )
      cpSync(join(work.path, `boot/vmlinuz-${release}`), join(folder, 'vmlinuz'))
      cpSync(join(work.path, `boot/config-${release}`), join(folder, 'config'))
      writeFileSync(join(folder, 'release'), release)
      const order = loadingOrder(dependencies, spec.modules.initrd).map((path) => path.replace(/\.xz$/, ''))
      writeFileSync(join(folder, 'initrd-modules'), order.map((path) => `${path}\n`).join(''))
    },
  })
}

/** modules.dep(5): `path: paths it depends on`. */
export function parseModulesDep(text: string): Map<string, string[]> {
  const lines = text.split('\n').filter((line) => line !== '')
  return new Map(
    lines.map((line) => {
      const [path = '', rest = ''] = line.split(':')
      return [path, rest.split(' ').filter((word) => word !== '')]
    }),
  )
}

/**
 * Paths of the named modules and of all they depend on, each after its own dependencies.
 * @throws {Error} naming every module that the kernel does not have. A built-in module has no file.
 */
export function loadingOrder(
  dependencies: ReadonlyMap<string, readonly string[]>,
  names: readonly string[],
): string[] {
  const plain = (name: string) => name.replace(/-/g, '_')
  const byName = new Map(
    [...dependencies.keys()].map((path) => [plain(basename(path).replace(/\.ko.*$/, '')), path]),
  )
  const unknown = names.filter((name) => !byName.has(plain(name)))
  if (unknown.length > 0) throw new Error(`the kernel does not have these modules: ${unknown.join(', ')}`)
  const order: string[] = []
  const add = (path: string): void => {
    if (order.includes(path)) return
    // modules.dep lists the nearest dependency first, and the dependencies of that one after it.
    for (const needed of [...(dependencies.get(path) ?? [])].reverse()) add(needed)
    order.push(path)
  }
  for (const name of names) add(byName.get(plain(name)) ?? '')
  return order
}
