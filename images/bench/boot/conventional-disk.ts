// The conventional image's disk: an ext4 root and Debian's GRUB on an EFI system partition, in a GPT.
// Owns the layout and GRUB's two files. mke2fs fills the root from a tar, so it needs no root and no loop device.
// Fails with the message of the tool that failed.
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runStage, temporaryFolder, type StageResult } from '../../cache.ts'
import { ESP_TYPE, ROOT_TYPES, writePartitions } from '../../bake/disk.ts'
import { runProgram } from '../../../platform/run-program.ts'
import { joinTars, writeTar, type TarEntry } from '../../formats/tar-writer.ts'
import { runTool, type Sandbox } from '../../../platform/sandbox.ts'
import type { Conventional } from './conventional.ts'
import { ESP_VOLUME, ROOT_UUID } from './conventional-root.ts'

const MIB = 1024 * 1024
/** Has room for the packages installed at boot. The file is sparse. */
const ROOT_BYTES = 3072 * MIB
const ESP_BYTES = 64 * MIB
const DISK_UUID = '8d4e1b57-6c0f-4e52-8f0b-7a3d2c9e1f60'
const ESP_UUID = '0c9f2f4e-91d3-4c4b-b1de-5a7e3b6f8d21'

/** The binary that the package grub-efi-amd64-signed puts on the partition, where it is signed. */
const GRUB = '/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi'

export type DiskInputs = {
  packages: Conventional
  tools: StageResult
  root: StageResult
  /** Files added to the root. */
  overlay: readonly TarEntry[]
  /** A cache key that changes with the files of the overlay. */
  overlayKey: unknown
}

/** Makes the disk. The result holds `disk.raw`. */
export async function conventionalDisk(o: DiskInputs): Promise<StageResult> {
  const { packages, tools, root, overlay, overlayKey } = o
  const { cacheDir, lock, spec } = packages
  return runStage(cacheDir, {
    name: 'conventional-disk',
    inputs: { keys: [tools.key, root.key], overlayKey },
    code: import.meta.filename,
    run: async (folder) => {
      await using work = temporaryFolder(cacheDir, 'conventional')
      const { sourceDateEpoch } = lock
      const sandbox: Sandbox = {
        tools: tools.path,
        sourceDateEpoch,
        cwd: '/stage',
        writable: { '/stage': work.path },
      }
      const kernel = await kernelRelease(join(root.path, 'root.tar'))
      const own: TarEntry[] = [
        { path: 'boot/grub/grub.cfg', content: grubMenu(kernel) },
        // The root tar omits /dev and its contents; the kernel fills the folder.
        { path: 'dev', directory: true },
      ]
      const entries = [...overlay, ...own]
      await writeTar(join(work.path, 'overlay.tar'), entries, sourceDateEpoch)
      await joinTars(join(work.path, 'all.tar'), [
        join(root.path, 'root.tar'),
        join(work.path, 'overlay.tar'),
      ])
      await makeRoot(sandbox, work.path)
      await makeEsp(sandbox, work.path)
      const partition = (file: string, type: string, uuid: string) => ({
        file: join(work.path, `${file}.img`),
        name: file,
        type,
        uuid,
        readOnly: false,
      })
      const partitions = [
        partition('esp', ESP_TYPE, ESP_UUID),
        partition('root', ROOT_TYPES[spec.architecture].root, ROOT_UUID),
      ]
      const layout = { uuid: DISK_UUID, tools: tools.path, sourceDateEpoch }
      await writePartitions(join(folder, 'disk.raw'), partitions, layout)
    },
  })
}

/** The release of the one kernel in the root. */
async function kernelRelease(tar: string): Promise<string> {
  const names = await runProgram(['tar', '--list', '--file', tar, '--wildcards', './boot/vmlinuz-*'])
  const release = /vmlinuz-(\S+)/.exec(names)?.[1]
  if (release === undefined) throw new Error(`no kernel in ${tar}`)
  return release
}

async function makeRoot(sandbox: Sandbox, work: string): Promise<void> {
  writeFileSync(join(work, 'root.img'), '')
  truncateSync(join(work, 'root.img'), ROOT_BYTES)
  await runTool(
    sandbox,
    [
      'mke2fs',
      '-q',
      ['-t', 'ext4'],
      ['-U', ROOT_UUID],
      // mke2fs writes all tables now. Otherwise the kernel of a new instance writes them in the background.
      ['-E', 'lazy_itable_init=0,lazy_journal_init=0'],
      ['-d', 'all.tar'],
      'root.img',
    ].flat(),
  )
}

async function makeEsp(sandbox: Sandbox, work: string): Promise<void> {
  writeFileSync(join(work, 'esp.img'), '')
  truncateSync(join(work, 'esp.img'), ESP_BYTES)
  writeFileSync(join(work, 'grub.cfg'), GRUB_EARLY)
  await runTool(sandbox, [
    'mkfs.vfat',
    '--invariant',
    '-F',
    '16',
    '-i',
    ESP_VOLUME.replace('-', ''),
    'esp.img',
  ])
  await runTool(sandbox, ['mmd', '-i', 'esp.img', '::/EFI', '::/EFI/BOOT', '::/EFI/debian'])
  await runTool(sandbox, ['mcopy', '-i', 'esp.img', GRUB, '::/EFI/BOOT/BOOTX64.EFI'])
  await runTool(sandbox, ['mcopy', '-i', 'esp.img', 'grub.cfg', '::/EFI/debian/grub.cfg'])
}

/** The file that grub-install(8) writes beside the binary. It gives the location of the menu. */
const GRUB_EARLY = [
  `search.fs_uuid ${ROOT_UUID} root`,
  `set prefix=($root)'/boot/grub'`,
  'configfile $prefix/grub.cfg',
  '',
].join('\n')

/** The file that update-grub(8) writes, without the wait at the menu. */
function grubMenu(release: string): string {
  return [
    'set timeout=0',
    'menuentry Debian {',
    `  linux /boot/vmlinuz-${release} root=UUID=${ROOT_UUID} ro console=ttyS0,115200n8 quiet`,
    `  initrd /boot/initrd.img-${release}`,
    '}',
    '',
  ].join('\n')
}
