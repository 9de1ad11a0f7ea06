// `mailfleet image archive push`: adds to an archive what it lacks of the files that the lock names.
import type { Command } from 'commander'
import { openArchive } from '../../../images/archive/archive.ts'
import { fetchLocked } from '../../../images/archive/fetch.ts'
import { pushLocked } from '../../../images/archive/transfer.ts'
import { readLock } from '../../../images/lock-file.ts'
import { ARCHIVE_TARGET, archiveTargetOf, printTransfer } from '../../archive-command.ts'
import { progressOnStderr, type CommandContext } from '../../options.ts'
import { untilAborted } from '../../steps.ts'

export default function addArchivePush(archive: Command, { project, signal }: CommandContext): void {
  archive
    .command('push')
    .description('add what the archive lacks, and the lock itself; first fetches what the cache lacks')
    .argument('[target]', ARCHIVE_TARGET)
    .option('--dry-run', 'only print what would be added')
    .option('--json', 'print the totals as JSON')
    .action(
      async (target: string | undefined, { dryRun = false, json }: { dryRun?: boolean; json?: true }) => {
        const { lockFile, cacheDir } = project
        const lock = readLock(lockFile)
        const to = await openArchive(archiveTargetOf(target))
        const push = async () => {
          if (!dryRun) {
            await to.prepare()
            await fetchLocked(lock, { cacheDir, onProgress: progressOnStderr })
          }
          return pushLocked(lock, to, { cacheDir, dryRun, onProgress: progressOnStderr })
        }
        printTransfer(json ?? false, await untilAborted(push(), signal), `into ${to.name}`)
      },
    )
}
