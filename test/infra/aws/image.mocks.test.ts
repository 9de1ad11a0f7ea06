// What must stop a preview before anything is registered: an image that may not run, a secret that is not there.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IMAGE_ID, madeUpAccount, type Account } from '../../fakes/made-up-aws.ts'
import { refusal, runStack } from './mocked-stack.ts'

/** The account after `change`. */
function account(change: (account: Account) => void): Account {
  const changed = madeUpAccount()
  change(changed)
  return changed
}

test('a channel without an image', async () => {
  const sentence = await refusal('prod', {
    account: account(({ parameters }) => delete parameters['/mailfleet/prod/image']),
  })
  assert.equal(
    sentence,
    'No image was promoted to prod in eu-west-1 (SSM parameter /mailfleet/prod/image): run `mailfleet image promote --channel prod`, or set mailfleet:imageId.',
  )
})

test('a channel whose parameter is no image', async () => {
  const sentence = await refusal('prod', {
    account: account(({ parameters }) => {
      parameters['/mailfleet/prod/image'] = { type: 'String', value: 'none yet' }
    }),
  })
  assert.equal(sentence, 'The SSM parameter /mailfleet/prod/image holds no AMI id, but "none yet".')
})

test('an image of another region, or of another account', async () => {
  const sentence = await refusal('prod', { config: { 'mailfleet:imageId': 'ami-0fedcba9876543210' } })
  assert.equal(
    sentence,
    "Image ami-0fedcba9876543210 is none of this account's in eu-west-1: an AMI id holds in one region only, so publish the image there with `mailfleet image publish --region eu-west-1`.",
  )
})

for (const tag of ['mailfleet:receipt', 'mailfleet:digest'])
  test(`an image without the tag ${tag}`, async () => {
    const sentence = await refusal('dev', {
      account: account(({ images }) => delete images[IMAGE_ID]?.tags[tag]),
    })
    assert.match(
      sentence,
      /^Image ami-0123456789abcdef0 has no receipt: only what `mailfleet image publish` .*\.$/,
    )
  })

test('an image that AWS is still making', async () => {
  const sentence = await refusal('dev', {
    account: account(({ images }) => {
      images[IMAGE_ID]!.state = 'pending'
    }),
  })
  assert.equal(
    sentence,
    'Image ami-0123456789abcdef0 is pending, not available: wait for it, or choose another.',
  )
})

test('secrets that are missing or not secret: all at once, each with its command', async () => {
  const sentence = await refusal('prod', {
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
  const sentence = await refusal('dev', {
    account: account(({ failures }) => {
      failures['getAmi'] = failure
    }),
  })
  assert.equal(sentence, `Image ${IMAGE_ID} could not be looked up: ${failure}`)
})

test('credentials that are missing: one sentence', async () => {
  const sentence = await refusal('dev', {
    account: account(({ failures }) => {
      failures['getRegion'] = 'No valid credential sources found.'
    }),
  })
  assert.equal(sentence, 'AWS could not be asked: No valid credential sources found.')
})

test('a configuration with problems: said as they are, before anything is asked of AWS', async () => {
  const sentence = await refusal('dev', { config: { 'mailfleet:hostname': undefined, 'mailfleet:sport': 1 } })
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
