// A preview stops before it registers a resource when the image may not run or a secret is missing.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DIGEST, IMAGE_ID, fakeAccount, type Account } from '../../kit/aws/fake-aws.ts'
import { previewError, runMockedStack } from '../../kit/pulumi/mocked-stack.ts'

/** The fake account after `change`. */
function account(change: (account: Account) => void): Account {
  const changed = fakeAccount()
  change(changed)
  return changed
}

test('a channel without an image stops the preview', async () => {
  const sentence = await previewError('prod', {
    account: account(({ parameters }) => delete parameters['/mailfleet/prod/image']),
  })
  assert.equal(
    sentence,
    'No image is promoted to prod in eu-west-1 (SSM parameter /mailfleet/prod/image): run `mailfleet image promote --channel prod`, or set mailfleet:imageId.',
  )
})

test('a channel whose parameter holds no AMI id stops the preview', async () => {
  const sentence = await previewError('prod', {
    account: account(({ parameters }) => {
      parameters['/mailfleet/prod/image'] = { type: 'String', value: 'none yet' }
    }),
  })
  assert.equal(sentence, 'The SSM parameter /mailfleet/prod/image holds no AMI id but "none yet".')
})

test('an image of another region or account stops the preview', async () => {
  const sentence = await previewError('prod', { config: { 'mailfleet:imageId': 'ami-0fedcba9876543210' } })
  assert.equal(
    sentence,
    'Image ami-0fedcba9876543210 does not exist in this account in eu-west-1. AMI ids are per region: publish the image there with `mailfleet image publish --region eu-west-1`. If another account shares the image, set mailfleet:imageOwner.',
  )
})

for (const tag of ['mailfleet:receipt', 'mailfleet:digest'])
  test(`an image without the tag ${tag} stops the preview`, async () => {
    const sentence = await previewError('dev', {
      account: account(({ images }) => delete images[IMAGE_ID]?.tags[tag]),
    })
    assert.match(
      sentence,
      /^Image ami-0123456789abcdef0 has no receipt: the fleet runs only images that `mailfleet image publish` .*\.$/,
    )
  })

test('a pending image stops the preview', async () => {
  const sentence = await previewError('dev', {
    account: account(({ images }) => {
      images[IMAGE_ID]!.state = 'pending'
    }),
  })
  assert.equal(
    sentence,
    'Image ami-0123456789abcdef0 is pending, not available: wait for it, or choose another image.',
  )
})

for (const [bootMode, named] of [
  ['legacy-bios', 'legacy-bios'],
  ['', 'of its instance type'],
] as const)
  test(`an image with ${bootMode === '' ? 'no boot mode' : `the boot mode ${bootMode}`} stops the preview`, async () => {
    const sentence = await previewError('dev', {
      account: account(({ images }) => {
        images[IMAGE_ID]!.bootMode = bootMode
      }),
    })
    assert.equal(
      sentence,
      `Image ${IMAGE_ID} is registered with boot mode ${named}, but its disk boots by UEFI only: publish it with \`mailfleet image publish\`.`,
    )
  })

test('the preview names all instance types that cannot boot the image', async () => {
  const types = ['c7i.large', 'c7g.large', 'm4.large', 'c99.large']
  const sentence = await previewError('dev', { config: { 'mailfleet:instanceTypes': types } })
  assert.deepEqual(sentence.split('\n'), [
    `Instance types that image ${IMAGE_ID} (x86_64, UEFI) cannot run on in eu-west-1:`,
    '  c7g.large: runs arm64, not x86_64',
    '  m4.large: boots by legacy-bios, not by UEFI; has no TPM, which the image requires',
    '  c99.large: could not be looked up (InvalidInstanceType: c99.large does not exist)',
    'Change mailfleet:instanceTypes, or choose another image.',
  ])
})

test('an image of another architecture than the instance types stops the preview', async () => {
  const arm = account(({ images }) => {
    images[IMAGE_ID]!.architecture = 'arm64'
  })
  assert.match(await previewError('prod', { account: arm }), /\n {2}c7i\.large: runs x86_64, not arm64\n/)
  const config = { 'mailfleet:instanceTypes': ['c7g.large'] }
  assert.equal((await runMockedStack('prod', { account: arm, config })).outputs['imageId'], IMAGE_ID)
})

/** An image that account 210987654321 shares with this one, which cannot see its tags. */
const shared = (description = `mailfleet image ${DIGEST}`) =>
  account(({ images }) => {
    Object.assign(images[IMAGE_ID]!, { owner: '210987654321', tags: {}, description })
  })

test('an image that another account shares runs once imageOwner names that account', async () => {
  assert.match(
    await previewError('dev', { account: shared() }),
    /another account shares the image, set mailfleet:imageOwner\.$/,
  )
  const config = { 'mailfleet:imageOwner': 210987654321 }
  const run = await runMockedStack('dev', { account: shared(), config })
  assert.deepEqual([run.outputs['imageId'], run.outputs['imageDigest']], [IMAGE_ID, DIGEST])
})

test('an image that the named account does not share or did not publish stops the preview', async () => {
  const config = { 'mailfleet:imageOwner': '012345678901' }
  assert.equal(
    await previewError('dev', { account: shared(), config }),
    `Account 012345678901 shares no image ${IMAGE_ID} with this one in eu-west-1: share it with \`mailfleet image publish --share\`, or correct mailfleet:imageOwner.`,
  )
  const foreign = { account: shared('Debian 13'), config: { 'mailfleet:imageOwner': '210987654321' } }
  assert.match(await previewError('dev', foreign), /has no digest in its description, and so no receipt/)
})

test('the preview names all missing or plain-text secrets, each with the command that creates it', async () => {
  const sentence = await previewError('prod', {
    account: account(({ parameters }) => {
      delete parameters['/mailfleet/prod/srs-secrets']
      parameters['/mailfleet/prod/tls-key'] = { type: 'String', value: 'plain' }
    }),
  })
  const command = 'aws ssm put-parameter --type SecureString --overwrite --name'
  assert.deepEqual(sentence.split('\n'), [
    'SSM parameters in eu-west-1:',
    `  /mailfleet/prod/srs-secrets is missing: ${command} /mailfleet/prod/srs-secrets --value file://FILE`,
    `  /mailfleet/prod/tls-key is a String, not a SecureString: ${command} /mailfleet/prod/tls-key --value file://FILE`,
  ])
})

test('a refused look-up stops the preview with its cause', async () => {
  const failure = 'AccessDenied: not authorized to perform: ec2:DescribeImages'
  const sentence = await previewError('dev', {
    account: account(({ failures }) => {
      failures['getAmi'] = failure
    }),
  })
  assert.equal(sentence, `Image ${IMAGE_ID} could not be looked up: ${failure}`)
})

test('missing credentials stop the preview with one sentence', async () => {
  const sentence = await previewError('dev', {
    account: account(({ failures }) => {
      failures['getRegion'] = 'No valid credential sources found.'
    }),
  })
  assert.equal(sentence, 'An AWS look-up failed: No valid credential sources found.')
})

test('a bad configuration stops the preview before any AWS call', async () => {
  const sentence = await previewError('dev', {
    config: { 'mailfleet:hostname': undefined, 'mailfleet:sport': 1 },
  })
  assert.match(sentence, /^Pulumi\.dev\.yaml: 2 problems\n/)
})

test('imageChannel and imageId choose the image', async () => {
  const staging = account(({ parameters }) => {
    parameters['/mailfleet/staging/image'] = { type: 'String', value: IMAGE_ID }
    delete parameters['/mailfleet/dev/image']
  })
  const byChannel = { account: staging, config: { 'mailfleet:imageChannel': 'staging' } }
  assert.equal((await runMockedStack('dev', byChannel)).outputs['imageId'], IMAGE_ID)
  const byId = { account: staging, config: { 'mailfleet:imageId': IMAGE_ID } }
  assert.equal((await runMockedStack('dev', byId)).outputs['imageId'], IMAGE_ID)
})
