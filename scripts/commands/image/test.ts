// `mailfleet image test`: boots a baked image with its network cut off, then writes and signs its receipt.
import { Option, type Command } from 'commander'
import { bootTest } from '../../../images/boot/boot-test.ts'
import type { Accel } from '../../../images/boot/qemu/arguments.ts'
import { receiptSigningKey } from '../../../images/boot/receipt-key.ts'
import { bakedImage } from '../../baked-image.ts'
import {
  architectureOption,
  imageOptions,
  progressOnStderr,
  seconds,
  type CommandContext,
  type CommonOptions,
  type ImageFlags,
} from '../../options.ts'
import { printResult } from '../../print-result.ts'

type TestFlags = ImageFlags & { accel: Accel | 'auto'; timeout: number; sign?: string }

export default function addTest(image: Command, context: CommandContext): void {
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
      process.exitCode = await testImage({
        ...imageOptions(context, flags),
        accel: flags.accel,
        timeoutMs: flags.timeout * 1000,
        ...(name === undefined ? {} : { image: name }),
        ...(flags.sign === undefined ? {} : { sign: flags.sign }),
      })
    })
}

async function testImage(
  o: CommonOptions & { image?: string; accel: Accel | 'auto'; timeoutMs: number; sign?: string },
): Promise<number> {
  const image = bakedImage(o.project, o.image)
  const receipt = await bootTest(image, {
    cacheDir: o.project.cacheDir,
    onProgress: progressOnStderr,
    signal: o.signal,
    receiptKey: receiptSigningKey(process.env, o.sign),
    accel: o.accel,
    timeoutMs: o.timeoutMs,
  })
  printResult(o.json, receipt)
  return 0
}
