// `mailfleet image publish` and `image promote` without AWS: one sentence names what is missing, before any work starts,
// with exit 2 and no stack trace.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { madeUpImage, RECEIPT_ENV } from '../../../kit/images/fake-image.ts'

const launcher = join(import.meta.dirname, '../../../../scripts/run.mjs')
const { folder } = madeUpImage('without AWS')

/** No profile, no variable and no instance gives region or credentials. */
const BARE = {
  PATH: process.env['PATH'],
  HOME: folder,
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_ENDPOINT_URL: 'http://127.0.0.1:9',
  ...RECEIPT_ENV,
}
const KEYS = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' }

const image = (args: string[], env: NodeJS.ProcessEnv = {}) =>
  spawnSync(process.execPath, [launcher, 'image', ...args], { encoding: 'utf8', env: { ...BARE, ...env } })

test('a missing region is exit 2', () => {
  for (const args of [
    ['publish', folder],
    ['revert', '--channel', 'prod'],
    ['history', '--channel', 'prod'],
  ]) {
    const { status, stderr, stdout } = image(args, KEYS)
    assert.equal(status, 2)
    assert.equal(stdout, '')
    assert.match(stderr, /^the environment: 1 problem\n {2}AWS_REGION: expected a region .* found nothing\n$/)
  }
})

test('missing credentials are exit 2', () => {
  const { status, stderr } = image(['publish', folder, '--region', 'eu-west-1'])
  assert.equal(status, 2)
  assert.match(stderr, /^the environment: 1 problem\n {2}AWS credentials: expected .*AWS_PROFILE.* none\n$/)
})

test('without a valid receipt no request goes to AWS', () => {
  const unlocked = madeUpImage('gate', { locked: false })
  const { status, stderr } = image(['publish', unlocked.folder, '--region', 'eu-west-1'], KEYS)
  assert.equal(status, 2)
  assert.match(stderr, /receipt\.json: 1 problem\n {2}locked: .*--allow-unlocked.* found false\n$/)
})

test('a KMS key must be an ARN, because EBS takes no other name', () => {
  for (const key of ['alias/mail', 'arn:aws:kms:eu-west-1:123456789012:alias/mail', 'abcd-1234']) {
    const { status, stderr } = image(['publish', folder, '--region', 'eu-west-1', '--kms-key', key], KEYS)
    assert.equal(status, 2, key)
    assert.match(stderr, /the options: 1 problem\n {2}--kms-key: expected the ARN of a key, .*\n$/)
  }
})

test('an unreachable AWS is one sentence and exit 1', () => {
  const { status, stderr } = image(['publish', folder, '--region', 'eu-west-1'], KEYS)
  assert.equal(status, 1)
  assert.match(stderr, /^AWS cannot be reached \(.*\)\.\n$/)
})

test('the channel is required, and must be a valid name', () => {
  for (const args of [
    ['promote', folder],
    ['promote', folder, '--channel', 'a/b'],
  ]) {
    const { status, stderr } = image(args, KEYS)
    assert.equal(status, 2)
    assert.match(stderr, /^error: .*channel/)
  }
})

test('an invalid option value is named with what is expected', () => {
  for (const [args, expected] of [
    [['promote', '--channel', 'prod', '--after', 'dev', '--soak', '5x'], /minutes, hours or days, as in 90m/],
    [['promote', '--channel', 'prod', '--soak', '1d'], /--soak needs --after CHANNEL/],
    [['promote', '--channel', 'prod', '--region', ','], /names, with commas between them/],
    [['publish', '--verify', 'some'], /expected all, sample or none/],
    [['publish', folder, '--parent', 'newest', '--region', 'eu-west-1'], /--parent: expected auto, none, or/],
    [
      ['publish', folder, '--share', '12', '--region', 'eu-west-1'],
      /--share: expected accounts of twelve digits/,
    ],
    [['prune', '--keep', '0'], /a whole number, 1 or more/],
    [['prune', '--apply', '--dry-run'], /'--dry-run' cannot be used with option '--apply'/],
  ] as const) {
    const { status, stderr } = image([...args], KEYS)
    assert.equal(status, 2, args.join(' '))
    assert.match(stderr, expected)
  }
})
