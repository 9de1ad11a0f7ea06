// `mailfleet image archive push|pull`: names, options and help of the commands that keep an archive of one's own.
import type { Command } from 'commander'
import type { Context } from './context.ts'

const TARGET = 'a directory, or s3://bucket/prefix; MAILFLEET_ARCHIVE by default'

/** Adds the commands to `mailfleet image`. */
export function addArchiveCommands(image: Command, { project, signal }: Context): void {
  const archive = image
    .command('archive')
    .description('keep every file that the lock names where no mirror can lose it')

  archive
    .command('push')
    .description('add what the archive lacks, fetching first what the cache lacks; and the lock itself')
    .argument('[target]', TARGET)
    .option('--dry-run', 'only say what would be added')
    .option('--json', 'print the sums as JSON')
    .action(async (target: string | undefined, options: { dryRun?: true; json?: true }) => {
      const { archivePush } = await import('../archive.ts')
      process.exitCode = await archivePush({ project, signal, ...flags(target, options) })
    })

  archive
    .command('pull')
    .description('bring into the cache what it lacks; then a bake needs no network')
    .argument('[target]', `${TARGET}; http(s):// as well`)
    .option('--dry-run', 'only say what would be brought')
    .option('--json', 'print the sums as JSON')
    .action(async (target: string | undefined, options: { dryRun?: true; json?: true }) => {
      const { archivePull } = await import('../archive.ts')
      process.exitCode = await archivePull({ project, signal, ...flags(target, options) })
    })
}

function flags(target: string | undefined, { dryRun, json }: { dryRun?: true; json?: true }) {
  return { dryRun: dryRun ?? false, json: json ?? false, ...(target === undefined ? {} : { target }) }
}
