// Whether Auto Scaling can use the key that encrypts the instances' disks. Without a grant for its service-linked role,
// every launch with a customer-managed key ends in Client.InternalError (Required KMS key policy for use with encrypted
// volumes). Owns: which key that is, and the warning. A grant cannot be looked up, so this never fails: it warns.
import * as ebs from '@pulumi/aws/ebs/index.js'
import * as kms from '@pulumi/aws/kms/index.js'
import type { FleetImage } from './image.ts'
import { providerMessage } from './provider-error.ts'

const OPERATIONS =
  'Encrypt Decrypt ReEncryptFrom ReEncryptTo GenerateDataKey GenerateDataKeyWithoutPlaintext DescribeKey CreateGrant'

/**
 * @param account for the ARN of the role
 * @returns a warning with the command that makes the grant; undefined when the key needs none.
 */
export async function volumeKeyWarning(
  image: FleetImage,
  account: { accountId: string; partition: string },
): Promise<string | undefined> {
  try {
    const key = await kms.getKey({ keyId: await volumeKey(image) })
    if (key.keyManager !== 'CUSTOMER') return undefined
    const role = `arn:${account.partition}:iam::${account.accountId}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling`
    return `The instances' disks are encrypted with the customer-managed key ${key.arn}. Auto Scaling needs a grant for it, or every launch fails. If there is none yet: aws kms create-grant --key-id ${key.arn} --grantee-principal ${role} --operations ${OPERATIONS}`
  } catch (error) {
    return `The key of the instances' disks could not be looked up (${providerMessage(error)}). If it is customer-managed, Auto Scaling needs a grant for it: docs/aws.md.`
  }
}

/** An encrypted snapshot of this account keeps its key; any other disk gets the account's default key for EBS. */
async function volumeKey({ own, rootSnapshotId }: FleetImage): Promise<string> {
  if (own) {
    const { encrypted, kmsKeyId } = await ebs.getSnapshot({ snapshotIds: [rootSnapshotId] })
    if (encrypted) return kmsKeyId
  }
  return (await ebs.getDefaultKmsKey()).keyArn
}
