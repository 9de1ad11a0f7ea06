// The EFI system partition with its one file, the unified kernel image: kernel, initrd, and the command line that names the
// root's hash. Owns: the command line, the loader's name and the signature. Fails with the tool's own output.
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runStage, type StageContext, type StageResult } from '../cache.ts'
import type { Lock } from '../lock-file.ts'
import { runTool } from '../../platform/sandbox.ts'
import type { SecureBootKey } from './secure-boot.ts'
import type { Spec } from '../spec.ts'
import { readVerity, type Verity } from './verity.ts'

const MIB = 1024 * 1024
/** UEFI's default loader name and systemd's stub, by architecture. */
const EFI = {
  amd64: { loader: 'BOOTX64.EFI', stub: 'linuxx64.efi.stub', name: 'x64' },
  arm64: { loader: 'BOOTAA64.EFI', stub: 'linuxaa64.efi.stub', name: 'aa64' },
}

/** Paths of both in the sandbox of the signing tool. */
const [KEY, CERTIFICATE] = ['/secure-boot/key.pem', '/secure-boot/certificate.pem']
const SIGN = [`--secureboot-private-key=${KEY}`, `--secureboot-certificate=${CERTIFICATE}`]

/** Stages whose results go onto the partition. */
export type EfiParts = {
  tools: StageResult
  /** Programs of the image's architecture. */
  target: StageResult
  kernel: StageResult
  initrd: StageResult
  root: StageResult
  /** Key to sign the kernel image with; none by default. */
  secureBoot?: SecureBootKey
}

/** The kernel's command line for this root. */
export function kernelCommandLine(spec: Spec, { rootHash, salt, dataBlocks }: Verity): string {
  return [...spec.kernelCommandLine, `roothash=${rootHash}`, `mailfleet.verity=${dataBlocks}:${salt}`].join(
    ' ',
  )
}

/** Makes the EFI system partition. The result holds `esp.img` and `uki.efi`. */
export async function efiPartition(context: StageContext, parts: EfiParts): Promise<StageResult> {
  const { spec, lock, cacheDir } = context
  const { tools, target, kernel, initrd, root, secureBoot } = parts
  const verity = readVerity(root)
  const commandLine = kernelCommandLine(spec, verity)
  return runStage(cacheDir, {
    name: 'esp',
    inputs: { keys: [tools.key, target.key, kernel.key, initrd.key], commandLine, signedBy: secureBoot?.id },
    code: import.meta.filename,
    run: async (folder) => {
      const sandbox = {
        tools: tools.path,
        sourceDateEpoch: lock.sourceDateEpoch,
        readOnly: {
          '/kernel': kernel.path,
          '/initrd': initrd.path,
          '/stubs': join(target.path, 'usr/lib/systemd/boot/efi'),
          ...(secureBoot && { [KEY]: secureBoot.keyFile, [CERTIFICATE]: secureBoot.certificateFile }),
        },
        writable: { '/stage': folder },
        cwd: '/stage',
      }
      writeFileSync(join(folder, 'os-release'), osRelease(spec, verity))
      const { loader, stub, name } = EFI[spec.architecture]
      await runTool({ ...sandbox, environment: secureBoot ? atTheLocksDate(lock) : {} }, [
        'python3',
        '/usr/lib/systemd/ukify',
        'build',
        '--linux=/kernel/vmlinuz',
        '--initrd=/initrd/initrd.zst',
        `--cmdline=${commandLine}`,
        '--os-release=@os-release',
        `--uname=${readFileSync(join(kernel.path, 'release'), 'utf8')}`,
        `--stub=/stubs/${stub}`,
        `--efi-arch=${name}`,
        ...(secureBoot ? SIGN : []),
        '--output=uki.efi',
      ])
      // 2 MiB for the file system's own tables. The partition needs no free space, because it never changes.
      const megabytes = Math.ceil(statSync(join(folder, 'uki.efi')).size / MIB) + 2
      writeFileSync(join(folder, 'esp.img'), '')
      truncateSync(join(folder, 'esp.img'), megabytes * MIB)
      const volume = verity.rootHash.slice(-8)
      await runTool(sandbox, ['mkfs.vfat', '--invariant', '-F16', '-nESP', `-i${volume}`, 'esp.img'])
      await runTool(sandbox, ['mmd', '-i', 'esp.img', '::/EFI', '::/EFI/BOOT'])
      await runTool(sandbox, ['mcopy', '-i', 'esp.img', 'uki.efi', `::/EFI/BOOT/${loader}`])
    },
  })
}

/** sbsign signs the current time and has no option for it, so libfaketime gives it the lock's date. */
function atTheLocksDate({ sourceDateEpoch }: Lock): Record<string, string> {
  const date = new Date(sourceDateEpoch * 1000).toISOString().slice(0, 19).replace('T', ' ')
  return {
    LD_PRELOAD: '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1',
    FAKETIME: date,
    NO_FAKE_STAT: '1',
  }
}

function osRelease(spec: Spec, { rootHash }: Verity): string {
  return `ID=${spec.name}\nNAME=${spec.name}\nVERSION_ID=${rootHash.slice(0, 12)}\nPRETTY_NAME="${spec.name} ${rootHash.slice(0, 12)}"\n`
}
