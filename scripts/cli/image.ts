// `mailfleet image build|lock|test`: names, options and help of the commands that make an image.
import { Option, type Command } from 'commander'
import type { Accel } from '../../images/boot/qemu-arguments.ts'
import { ARCHITECTURES, forArchitecture, type Architecture } from '../project.ts'
import { positiveNumber, type Context } from './context.ts'

const ARCHIVE = 'where packages are looked for before the mirror: a directory, an address, s3://bucket/prefix'
const architectureOption = () =>
  new Option('--arch <name>', 'the architecture of the image').choices(ARCHITECTURES).default('amd64')
const archiveOf = ({ archive }: { archive?: string }) => (archive === undefined ? {} : { archive })

/** Adds the commands to `mailfleet image`. */
export function addImageCommands(image: Command, { project, signal }: Context): void {
  image
    .command('build')
    .description('bake the image from the lock; unchanged inputs are not baked again')
    .addOption(architectureOption())
    .option('--archive <where>', ARCHIVE)
    .option('--json', 'print the result as JSON')
    .action(async (options: { json?: true; archive?: string; arch: Architecture }) => {
      const { imageBuild } = await import('../image.ts')
      const result = imageBuild({
        project: forArchitecture(project, options.arch),
        json: options.json ?? false,
        signal,
        ...archiveOf(options),
      })
      process.exitCode = await result
    })

  image
    .command('lock')
    .description('resolve the spec against the mirror and write images/image.lock.json')
    .addOption(
      new Option('--update', 'also say what each change brings: changelogs, CVEs').conflicts('check'),
    )
    .option('--check', 'write nothing; exit 1 if the mirror has moved on, and say what is gone from it')
    .addOption(architectureOption())
    .option('--archive <where>', ARCHIVE)
    .option('--json', 'print the differences as JSON')
    .action(
      async (options: { update?: true; check?: true; archive?: string; json?: true; arch: Architecture }) => {
        const { lockCheck, lockUpdate, lockWrite } = await import('../lock.ts')
        const run = options.check ? lockCheck : options.update ? lockUpdate : lockWrite
        process.exitCode = await run({
          project: forArchitecture(project, options.arch),
          signal,
          json: options.json ?? false,
          ...archiveOf(options),
        })
      },
    )

  image
    .command('test')
    .description(
      'boot an image in QEMU, network cut off: mail, load, power cut, an altered byte; writes its receipt',
    )
    .argument('[image]', 'its folder or digest; the newest by default')
    .addOption(architectureOption())
    .addOption(new Option('--accel <name>', 'accelerator').choices(['auto', 'kvm', 'tcg']).default('auto'))
    .option('--timeout <seconds>', 'give up a boot after this long', positiveNumber, 480)
    .option('--json', 'print the receipt as JSON')
    .action(
      async (
        name: string | undefined,
        options: { accel: Accel | 'auto'; timeout: number; json?: true; arch: Architecture },
      ) => {
        const { imageTest } = await import('../image.ts')
        process.exitCode = await imageTest({
          ...{ project, json: options.json ?? false, signal: signal },
          ...{ accel: options.accel, timeoutMs: options.timeout * 1000 },
          ...(name === undefined ? {} : { image: name }),
        })
      },
    )
}
