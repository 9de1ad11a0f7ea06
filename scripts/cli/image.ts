// `mailfleet image build|lock|test`: names, options and help of the commands that make an image.
import { Option, type Command } from 'commander'
import type { Accel } from '../../images/boot/qemu-arguments.ts'
import { positiveNumber, type Context } from './context.ts'

/** Adds the commands to `mailfleet image`. */
export function addImageCommands(image: Command, { project, signal }: Context): void {
  image
    .command('build')
    .description('bake the image from the lock; unchanged inputs are not baked again')
    .option('--json', 'print the result as JSON')
    .action(async (options: { json?: true }) => {
      const { imageBuild } = await import('../image.ts')
      process.exitCode = await imageBuild({ project, json: options.json ?? false, signal: signal })
    })

  image
    .command('lock')
    .description('resolve the spec against the mirror and write images/image.lock.json')
    .option('--json', 'print the differences as JSON')
    .action(async (options: { json?: true }) => {
      const { imageLock } = await import('../image.ts')
      process.exitCode = await imageLock({ project, json: options.json ?? false, signal: signal })
    })

  image
    .command('test')
    .description('boot an image in QEMU, network cut off, forward a message through it, write its receipt')
    .argument('[image]', 'its folder or digest; the newest by default')
    .addOption(new Option('--accel <name>', 'accelerator').choices(['auto', 'kvm', 'tcg']).default('auto'))
    .option('--timeout <seconds>', 'give up after this long', positiveNumber, 240)
    .option('--json', 'print the receipt as JSON')
    .action(
      async (name: string | undefined, options: { accel: Accel | 'auto'; timeout: number; json?: true }) => {
        const { imageTest } = await import('../image.ts')
        process.exitCode = await imageTest({
          ...{ project, json: options.json ?? false, signal: signal },
          ...{ accel: options.accel, timeoutMs: options.timeout * 1000 },
          ...(name === undefined ? {} : { image: name }),
        })
      },
    )
}
