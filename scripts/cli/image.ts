// `mailfleet image build|lock|test`: names, options and help of the commands that make an image.
import { Option, type Command } from 'commander'
import { parseTarget } from '../../images/archive/archive.ts'
import type { Accel } from '../../images/boot/qemu/arguments.ts'
import { InputError } from '../../input/problems.ts'
import { ARCHITECTURES, forArchitecture, type Architecture } from '../project.ts'
import { seconds, type Context } from './context.ts'

const ARCHIVE = 'where packages are looked for before the mirror: a directory, an address, s3://bucket/prefix'
const architectureOption = () =>
  new Option('--arch <name>', 'the architecture of the image').choices(ARCHITECTURES).default('amd64')

/** Checked even when nothing is fetched. @throws {InputError} */
function archiveTarget(text: string): string {
  parseTarget(text)
  return text
}

type Flags = { arch: Architecture; archive?: string; json?: true }

const common = ({ project, signal }: Context, { arch, archive, json }: Flags) => ({
  ...{ project: forArchitecture(project, arch), signal, json: json ?? false },
  ...(archive === undefined ? {} : { archive }),
})

/** Adds the commands to `mailfleet image`. */
export function addImageCommands(image: Command, context: Context): void {
  addBuild(image, context)
  addLock(image, context)
  addTest(image, context)
}

type BuildFlags = Flags & { sign?: string; secureBootKey?: string; secureBootCert?: string }

function addBuild(image: Command, context: Context): void {
  image
    .command('build')
    .description('bake the image from the lock; unchanged inputs are not baked again')
    .addOption(architectureOption())
    .option('--archive <where>', ARCHIVE, archiveTarget)
    .option('--sign <key>', 'sign its provenance with this private key (PEM: Ed25519 or ECDSA P-256)')
    .option(
      '--secure-boot-key <key>',
      'sign its kernel image for Secure Boot (PEM: RSA); with the certificate',
    )
    .option('--secure-boot-cert <certificate>', 'the key’s X.509 certificate (PEM)')
    .option('--json', 'print the result as JSON')
    .action(async ({ sign, secureBootKey, secureBootCert, ...flags }: BuildFlags, command: Command) => {
      if ((secureBootKey === undefined) !== (secureBootCert === undefined))
        command.error('error: --secure-boot-key and --secure-boot-cert go together', { exitCode: 2 })
      const { imageBuild } = await import('../image.ts')
      const secureBoot = secureBootKey !== undefined &&
        secureBootCert !== undefined && {
          secureBoot: { keyFile: secureBootKey, certificateFile: secureBootCert },
        }
      const signing = sign === undefined ? {} : { signingKeyFile: sign }
      process.exitCode = await imageBuild({ ...common(context, flags), ...signing, ...secureBoot })
    })
}

function addLock(image: Command, context: Context): void {
  image
    .command('lock')
    .description('resolve the spec against the mirror and write images/image.lock.json')
    .addOption(
      new Option('--update', 'also say what each change brings: changelogs, CVEs').conflicts('check'),
    )
    .option(
      '--check',
      'write no lock; exit 1 if the mirror has moved on, and say what is gone from it; exit 3 if that cannot be told',
    )
    .addOption(architectureOption())
    .option('--archive <where>', ARCHIVE, archiveTarget)
    .option('--json', 'print the differences as JSON')
    .action(async (flags: Flags & { update?: true; check?: true }) => {
      if (flags.archive !== undefined && !flags.update && !flags.check)
        throw new InputError('image lock', [
          { key: '--archive', found: flags.archive, expected: '--update or --check beside it' },
        ])
      const { lockCheck, lockUpdate, lockWrite } = await import('../lock.ts')
      const run = flags.check ? lockCheck : flags.update ? lockUpdate : lockWrite
      process.exitCode = await run(common(context, flags))
    })
}

type TestFlags = Flags & { accel: Accel | 'auto'; timeout: number; sign?: string }

function addTest(image: Command, context: Context): void {
  image
    .command('test')
    .description(
      'boot an image in QEMU, network cut off: mail, load, power cut, an altered byte; writes and signs its receipt',
    )
    .argument('[image]', 'its folder or digest; the newest by default')
    .addOption(architectureOption())
    .addOption(new Option('--accel <name>', 'accelerator').choices(['auto', 'kvm', 'tcg']).default('auto'))
    .option('--timeout <seconds>', 'give up a boot after this long, even if it makes progress', seconds, 1800)
    .option('--sign <key>', 'sign its receipt with this private key (PEM), not with your own')
    .option('--json', 'print the receipt as JSON')
    .action(async (name: string | undefined, flags: TestFlags) => {
      const { imageTest } = await import('../image.ts')
      process.exitCode = await imageTest({
        ...common(context, flags),
        ...{ accel: flags.accel, timeoutMs: flags.timeout * 1000 },
        ...(name === undefined ? {} : { image: name }),
        ...(flags.sign === undefined ? {} : { sign: flags.sign }),
      })
    })
}
