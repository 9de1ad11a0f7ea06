// What `image archive push` and `image archive pull` share: their arguments, and what they print.
import type { Transfer } from '../images/archive/transfer.ts'
import { InputError } from '../input/problems.ts'

export const ARCHIVE_TARGET = 'a directory, or s3://bucket/prefix; MAILFLEET_ARCHIVE by default'

/** @throws {InputError} when neither the command nor the environment names an archive */
export function archiveTargetOf(target = process.env['MAILFLEET_ARCHIVE']): string {
  if (target !== undefined && target !== '') return target
  throw new InputError('the command', [
    { key: 'target', found: 'nothing', expected: 'a directory or s3://bucket/prefix, or MAILFLEET_ARCHIVE' },
  ])
}

/** @param where the archive, with its preposition: "into s3://…" */
export function printTransfer(json: boolean, transfer: Transfer, where: string): void {
  const { files, moved, movedBytes, dryRun } = transfer
  if (json) console.log(JSON.stringify(transfer, null, 2))
  else {
    const verb = dryRun ? 'would be copied' : 'copied'
    console.log(`${moved} of ${files} files ${verb} ${where}, ${(movedBytes / 1e6).toFixed(1)} MB`)
  }
}
