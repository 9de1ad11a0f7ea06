// `mailfleet image build`: bakes the image and prints where it is.
import type { Command } from 'commander'
import { buildImage } from '../../../images/bake/bake.ts'
import type { SecureBootFiles } from '../../../images/bake/secure-boot.ts'
import {
  ARCHIVE,
  architectureOption,
  imageOptions,
  progressOnStderr,
  type CommandContext,
  type CommonOptions,
  type ImageFlags,
} from '../../options.ts'
import { printResult } from '../../print-result.ts'
import { untilAborted } from '../../steps.ts'

type BuildFlags = ImageFlags & { sign?: string; secureBootKey?: string; secureBootCert?: string }

export default function addBuild(image: Command, context: CommandContext): void {
  image
    .command('build')
    .description('bake the image from the lock; unchanged inputs are not baked again')
    .addOption(architectureOption())
    .option(...ARCHIVE)
    .option('--sign <key>', 'sign its provenance with this private key (PEM: Ed25519 or ECDSA P-256)')
    .option(
      '--secure-boot-key <key>',
      'sign its kernel image for Secure Boot (PEM: RSA); needs the certificate too',
    )
    .option('--secure-boot-cert <certificate>', 'the key’s X.509 certificate (PEM)')
    .option('--json', 'print the result as JSON')
    .action(async ({ sign, secureBootKey, secureBootCert, ...flags }: BuildFlags, command: Command) => {
      if ((secureBootKey === undefined) !== (secureBootCert === undefined))
        command.error('error: --secure-boot-key and --secure-boot-cert go together', { exitCode: 2 })
      const secureBoot = secureBootKey !== undefined &&
        secureBootCert !== undefined && {
          secureBoot: { keyFile: secureBootKey, certificateFile: secureBootCert },
        }
      process.exitCode = await build({
        ...imageOptions(context, flags),
        ...(sign === undefined ? {} : { signingKeyFile: sign }),
        ...secureBoot,
      })
    })
}

/** Bakes the image from the committed lock. Fails when locked packages are gone, and names them. */
async function build({
  project,
  json,
  signal,
  ...options
}: CommonOptions & {
  archive?: string
  signingKeyFile?: string
  secureBoot?: SecureBootFiles
}): Promise<number> {
  const { specFile, lockFile, cacheDir, serverEntry, imagesDir } = project
  const building = buildImage({
    specFile,
    lockFile,
    cacheDir,
    serverEntry,
    outDir: imagesDir,
    onProgress: progressOnStderr,
    ...options,
  })
  const { digest, disk, bytes, cached, locked } = await untilAborted(building, signal)
  printResult(json, { digest, disk, bytes, cached, locked })
  return 0
}
