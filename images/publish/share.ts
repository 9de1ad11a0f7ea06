// Lets other accounts launch an image and copy its snapshot. Both requests are idempotent.
// Fails with AWS's error: AWS does not share a snapshot that is encrypted with the account's default key.
import { ModifyImageAttributeCommand, ModifySnapshotAttributeCommand } from '@aws-sdk/client-ec2'
import { InputError } from '../../input/problems.ts'
import type { AwsClients } from './aws/clients.ts'
import type { SnapshotEncryption } from './snapshot/snapshots.ts'

/** Shares the image and its snapshot with accounts, named by their twelve digits. */
export async function shareImage(
  { ec2 }: AwsClients,
  image: { imageId: string; snapshotId: string },
  accounts: readonly string[],
): Promise<void> {
  if (accounts.length === 0) return
  const Add = accounts.map((UserId) => ({ UserId }))
  const launch = { ImageId: image.imageId, LaunchPermission: { Add } }
  await ec2.send(new ModifyImageAttributeCommand(launch))
  const create = { SnapshotId: image.snapshotId, Attribute: 'createVolumePermission' } as const
  const command = new ModifySnapshotAttributeCommand({
    ...create,
    OperationType: 'add',
    UserIds: [...accounts],
  })
  await ec2.send(command)
}

/** @throws {InputError} for an invalid account, and for a sharing that AWS would refuse at its end */
export function checkSharing(accounts: readonly string[], { encrypt, kmsKey }: SnapshotEncryption): void {
  const wrong = accounts.find((account) => !/^\d{12}$/.test(account))
  if (wrong !== undefined) {
    const expected = 'accounts of twelve digits, with commas'
    throw new InputError('the options', [{ key: '--share', found: wrong, expected }])
  }
  if (accounts.length === 0 || !encrypt || kmsKey !== undefined) return
  const expected =
    'a key of your own, --kms-key, which the other accounts may use: AWS does not share its default key'
  throw new InputError('the options', [{ key: '--share', found: '--encrypt', expected }])
}
