// What must stop a preview before anything is registered: an image that may not run, a secret that is not there.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DIGEST, IMAGE_ID, madeUpAccount, type Account } from '../../kit/aws/fake-aws.ts'
import { previewError, runStack } from '../../kit/pulumi/mocked-stack.ts'

/** The account after `change`. */
function account(change: (account: Account) => void): Account {
  const changed = madeUpAccount()
  change(changed)
  return changed
}

test('a channel without an image', async () => {
  const sentence = await previewError('prod', {
    account: account(({ parameters }) => delete parameters['/mailfleet/prod/image']),
  })
  assert.equal(
    sentence,
    'No image was promoted to prod in eu-west-1 (SSM parameter /mailfleet/prod/image): run `mailfleet image promote --channel prod`, or set mailfleet:imageId.',
  )
})

test('a channel whose parameter is no image', async () => {
  const sentence = await previewError('prod', {
    account: account(({ parameters }) => {
      parameters['/mailfleet/prod/image'] = { type: 'String', value: 'none yet' }
    }),
  })
  assert.equal(sentence, 'The SSM parameter /mailfleet/prod/image holds no AMI id, but "none yet".')
})

test('an image of another region, or of another account', async () => {
  const sentence = await previewError('prod', { config: { 'mailfleet:imageId': 'ami-0fedcba9876543210' } })
  assert.equal(
    sentence,
    "Image ami-0fedcba9876543210 is none of this account's in eu-west-1: an AMI id holds in one region only, so publish the image there with `mailfleet image publish --region eu-west-1`. For an image that another account shares, set mailfleet:imageOwner.",
  )
})

for (const tag of ['mailfleet:receipt', 'mailfleet:digest'])
  test(`an image without the tag ${tag}`, async () => {
    const sentence = await previewError('dev', {
      account: account(({ images }) => delete images[IMAGE_ID]?.tags[tag]),
    })
    assert.match(
      sentence,
      /^Image ami-0123456789abcdef0 has no receipt: only what `mailfleet image publish` .*\.$/,
    )
  })

test('an image that AWS is still making', async () => {
  const sentence = await previewError('dev', {
    account: account(({ images }) => {
      images[IMAGE_ID]!.state = 'pending'
    }),
  })
  assert.equal(
    sentence,
    'Image ami-0123456789abcdef0 is pending, not available: wait for it, or choose another.',
  )
})

for (const [bootMode, named] of [
  ['legacy-bios', 'legacy-bios'],
  ['', 'of its instance type'],
] as const)
  test(`an image with ${bootMode === '' ? 'no boot mode' : `the boot mode ${bootMode}`}, while the disk boots by UEFI only`, async () => {
    const sentence = await previewError('dev', {
      account: account(({ images }) => {
        images[IMAGE_ID]!.bootMode = bootMode
      }),
    })
    assert.equal(
      sentence,
      `Image ${IMAGE_ID} is registered with the boot mode ${named}, and the disk boots by UEFI only: publish it with \`mailfleet image publish\`.`,
    )
  })

test('instance types of another architecture, without UEFI or TPM, or unknown: all at once', async () => {
  const types = ['c7i.large', 'c7g.large', 'm4.large', 'c99.large']
  const sentence = await previewError('dev', { config: { 'mailfleet:instanceTypes': types } })
  assert.deepEqual(sentence.split('\n'), [
    `Instance types that image ${IMAGE_ID} (x86_64, UEFI) cannot run on in eu-west-1:`,
    '  c7g.large: runs arm64, not x86_64',
    '  m4.large: boots by legacy-bios, not by UEFI; has no TPM, which the image asks for',
    '  c99.large: could not be looked up (InvalidInstanceType: c99.large does not exist)',
    'Change mailfleet:instanceTypes, or choose another image.',
  ])
})

test('an image of another architecture than the instance types', async () => {
  const arm = account(({ images }) => {
    images[IMAGE_ID]!.architecture = 'arm64'
  })
  assert.match(await previewError('prod', { account: arm }), /\n {2}c7i\.large: runs x86_64, not arm64\n/)
  const config = { 'mailfleet:instanceTypes': ['c7g.large'] }
  assert.equal((await runStack('prod', { account: arm, config })).outputs['imageId'], IMAGE_ID)
})

/** An image of 210987654321, shared with this account: its tags cannot be seen from here. */
const shared = (description = `mailfleet image ${DIGEST}`) =>
  account(({ images }) => {
    Object.assign(images[IMAGE_ID]!, { owner: '210987654321', tags: {}, description })
  })

test('an image that another account shares, once imageOwner names the account', async () => {
  assert.match(
    await previewError('dev', { account: shared() }),
    /another account shares, set mailfleet:imageOwner\.$/,
  )
  const config = { 'mailfleet:imageOwner': 210987654321 }
  const run = await runStack('dev', { account: shared(), config })
  assert.deepEqual([run.outputs['imageId'], run.outputs['imageDigest']], [IMAGE_ID, DIGEST])
})

test('an image that the named account does not share, or did not publish', async () => {
  const config = { 'mailfleet:imageOwner': '012345678901' }
  assert.equal(
    await previewError('dev', { account: shared(), config }),
    `Account 012345678901 shares no image ${IMAGE_ID} with this one in eu-west-1: publish it with \`mailfleet image publish --share\`, or correct mailfleet:imageOwner.`,
  )
  const foreign = { account: shared('Debian 13'), config: { 'mailfleet:imageOwner': '210987654321' } }
  assert.match(await previewError('dev', foreign), /has no digest in its description, and so no receipt/)
})

test('secrets that are missing or not secret: all at once, each with its command', async () => {
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

test('a look-up that is refused: the cause in the sentence', async () => {
  const failure = 'AccessDenied: not authorized to perform: ec2:DescribeImages'
  const sentence = await previewError('dev', {
    account: account(({ failures }) => {
      failures['getAmi'] = failure
    }),
  })
  assert.equal(sentence, `Image ${IMAGE_ID} could not be looked up: ${failure}`)
})

test('credentials that are missing: one sentence', async () => {
  const sentence = await previewError('dev', {
    account: account(({ failures }) => {
      failures['getRegion'] = 'No valid credential sources found.'
    }),
  })
  assert.equal(sentence, 'AWS could not be asked: No valid credential sources found.')
})

test('a configuration with problems: said as they are, before anything is asked of AWS', async () => {
  const sentence = await previewError('dev', {
    config: { 'mailfleet:hostname': undefined, 'mailfleet:sport': 1 },
  })
  assert.match(sentence, /^Pulumi\.dev\.yaml: 2 problems\n/)
})

test('a channel of another name, and an image by its id', async () => {
  const staging = account(({ parameters }) => {
    parameters['/mailfleet/staging/image'] = { type: 'String', value: IMAGE_ID }
    delete parameters['/mailfleet/dev/image']
  })
  const byChannel = { account: staging, config: { 'mailfleet:imageChannel': 'staging' } }
  assert.equal((await runStack('dev', byChannel)).outputs['imageId'], IMAGE_ID)
  const byId = { account: staging, config: { 'mailfleet:imageId': IMAGE_ID } }
  assert.equal((await runStack('dev', byId)).outputs['imageId'], IMAGE_ID)
})
