// The preview's warning about a customer-managed key of the instances' disks, which needs a grant for Auto Scaling.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fakeAccount, type Account } from '../../kit/aws/fake-aws.ts'
import { runPulumiHost } from '../../kit/pulumi/host.ts'

const OWN_KEY = 'arn:aws:kms:eu-west-1:123456789012:key/mine'

/** The warnings of a preview. */
async function warnings(changes: Partial<Account>): Promise<string[]> {
  const run = await runPulumiHost('dev', { ...fakeAccount(), ...changes }, { preview: true })
  assert.equal(run.exitCode, 0, run.output)
  return run.warnings
}

test('an AWS-managed key raises no warning', async () => {
  assert.deepEqual(await warnings({}), [])
})

test('the warning about a customer-managed default key has the command that creates the grant', async () => {
  const [warning, ...more] = await warnings({ volumeKey: { arn: OWN_KEY, manager: 'CUSTOMER' } })
  assert.deepEqual(more, [])
  assert.equal(
    warning,
    `The instances' disks are encrypted with the customer-managed key ${OWN_KEY}. Auto Scaling needs a grant for it, or every launch fails. If it does not exist yet, create it: aws kms create-grant --key-id ${OWN_KEY} --grantee-principal arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling --operations Encrypt Decrypt ReEncryptFrom ReEncryptTo GenerateDataKey GenerateDataKeyWithoutPlaintext DescribeKey CreateGrant`,
  )
})

test('for an encrypted image, the warning is about the image’s own key', async () => {
  const [warning] = await warnings({ snapshotKey: OWN_KEY })
  assert.match(warning ?? '', /customer-managed key arn:aws:kms:eu-west-1:123456789012:key\/mine\./)
})

test('a refused key look-up is a warning, not an error', async () => {
  const [warning] = await warnings({ failures: { getDefaultKmsKey: 'UnauthorizedOperation' } })
  assert.match(
    warning ?? '',
    /^The key of the instances' disks could not be looked up \(UnauthorizedOperation\)/,
  )
})
