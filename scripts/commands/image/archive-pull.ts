// `mailfleet image archive pull`: fetches from an archive what the cache lacks of the files that the lock names.
import type { Command } from 'commander'
import { existingArchive } from '../../../images/archive/archive.ts'
import { pullLocked } from '../../../images/archive/transfer.ts'
import { readLock } from '../../../images/lock-file.ts'
import { ARCHIVE_TARGET, archiveTargetOf, printTransfer } from '../../archive-command.ts'
import { progressOnStderr, type CommandContext } from '../../options.ts'
import { untilAborted } from '../../steps.ts'

export default function addArchivePull(archive: Command, { project, signal }: CommandContext): void {
  archive
    .command('pull')
    .description('bring into the cache what it lacks; then a bake needs no network')
    .argument('[target]', `${ARCHIVE_TARGET}; http(s):// as well`)
    .option('--dry-run', 'only print what would be brought')
    .option('--json', 'print the totals as JSON')
    .action(
      async (target: string | undefined, { dryRun = false, json }: { dryRun?: boolean; json?: true }) => {
        const { lockFile, cacheDir } = project
        const lock = readLock(lockFile)
        const from = await existingArchive(archiveTargetOf(target))
        const pulling = pullLocked(lock, from, { cacheDir, dryRun, onProgress: progressOnStderr })
        printTransfer(json ?? false, await untilAborted(pulling, signal), `from ${from.name}`)
      },
    )
}
