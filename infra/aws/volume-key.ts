// Warns when Auto Scaling may lack a KMS grant for the key of the instances' disks. With a customer-managed key and no
// grant for its service-linked role, each launch fails with Client.InternalError ("Required KMS key policy for use with
// encrypted volumes"). Grants cannot be looked up, so this only warns and never fails.
import * as ebs from '@pulumi/aws/ebs/index.js'
import * as kms from '@pulumi/aws/kms/index.js'
import type { FleetImage } from './image.ts'
import { providerMessage } from './provider-error.ts'

const OPERATIONS =
  'Encrypt Decrypt ReEncryptFrom ReEncryptTo GenerateDataKey GenerateDataKeyWithoutPlaintext DescribeKey CreateGrant'

/**
 * @returns a warning with the command that creates the grant; undefined when the key needs none
 */
export async function volumeKeyWarning(
  image: FleetImage,
  account: { accountId: string; partition: string },
): Promise<string | undefined> {
  try {
    const key = await kms.getKey({ keyId: await volumeKey(image) })
    if (key.keyManager !== 'CUSTOMER') return undefined
    const role = `arn:${account.partition}:iam::${account.accountId}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling`
    return `The instances' disks are encrypted with the customer-managed key ${key.arn}. Auto Scaling needs a grant for it, or every launch fails. If it does not exist yet, create it: aws kms create-grant --key-id ${key.arn} --grantee-principal ${role} --operations ${OPERATIONS}`
  } catch (error) {
    return `The key of the instances' disks could not be looked up (${providerMessage(error)}). If it is customer-managed, Auto Scaling needs a grant for it: see docs/aws.md.`
  }
}

/** A disk from this account's encrypted snapshot keeps its key. Any other disk gets the account's default EBS key. */
async function volumeKey({ own, rootSnapshotId }: FleetImage): Promise<string> {
  if (own) {
    const { encrypted, kmsKeyId } = await ebs.getSnapshot({ snapshotIds: [rootSnapshotId] })
    if (encrypted) return kmsKeyId
  }
  return (await ebs.getDefaultKmsKey()).keyArn
}
