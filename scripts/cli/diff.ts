// `mailfleet image diff|verify`: names, options and help of the commands that read what lies beside disks.
import type { Command } from 'commander'
import type { Context } from './context.ts'

/** Adds the commands to `mailfleet image`. */
export function addDiffCommands(image: Command, { project }: Context): void {
  image
    .command('diff')
    .description('what differs between two images: packages, files, settings, sockets, sizes, boot')
    .argument('<before>', 'the image that runs: its folder or digest')
    .argument('<after>', 'the one that is to replace it; `latest` is the newest')
    .option('--gate <policy>', 'exit 1 if the policy forbids what changes, and say what')
    .option('--html <file>', 'also write it as one page of HTML')
    .option('--json', 'print the comparison as JSON')
    .action(async (before: string, after: string, options: { gate?: string; html?: string; json?: true }) => {
      const { imageDiff } = await import('../diff.ts')
      process.exitCode = imageDiff({ project, before, after, ...options, json: options.json ?? false })
    })

  image
    .command('verify')
    .description('hold all that lies beside a disk to its bytes: manifest, files, SBOM, lock, provenance')
    .argument('[image]', 'its folder or digest; the newest by default')
    .option('--key <file>', 'a public key (PEM) that must have signed the provenance')
    .action(async (name: string | undefined, { key }: { key?: string }) => {
      const { imageVerify } = await import('../verify.ts')
      process.exitCode = await imageVerify({
        ...{ project, ...(name === undefined ? {} : { image: name }) },
        ...(key === undefined ? {} : { key }),
      })
    })
}
