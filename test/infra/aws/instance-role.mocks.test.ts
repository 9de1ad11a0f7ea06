// What an instance may do: exactly the calls that the server makes, on exactly this fleet's resources.

import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { PROJECT_FOLDER } from '../../kit/pulumi/example-stack.ts'
import { runStack, type ResourceInputs } from '../../kit/pulumi/mocked-stack.ts'

const prod = await runStack('prod')
const { Statement: statements } = JSON.parse(
  String(prod.one('iam/rolePolicy:RolePolicy', 'mailfleet-prod')['policy']),
) as {
  Statement: ResourceInputs[]
}
const actions = statements.flatMap((statement) => statement['Action'] as string[])
const resourcesOf = (sid: string) =>
  statements.find((statement) => statement['Sid'] === sid)?.['Resource'] as string[]

test('nothing is allowed but this', () => {
  assert.deepEqual([...new Set(actions)].toSorted(), [
    'autoscaling:CompleteLifecycleAction',
    'autoscaling:DescribeAutoScalingInstances',
    'autoscaling:RecordLifecycleActionHeartbeat',
    'dynamodb:GetItem',
    'dynamodb:PutItem',
    'dynamodb:UpdateItem',
    'kms:Decrypt',
    's3:DeleteObject',
    's3:GetObject',
    's3:PutObject',
    'sqs:ChangeMessageVisibility',
    'sqs:DeleteMessage',
    'sqs:GetQueueAttributes',
    'sqs:ReceiveMessage',
    'sqs:SendMessage',
    'ssm:GetParameter',
  ])
})

test('it allows what the server calls, and nothing that the server does not call', () => {
  const source = globSync('server/**/*.ts', { cwd: PROJECT_FOLDER })
    .map((file) => readFileSync(join(PROJECT_FOLDER, file), 'utf8'))
    .join('\n')
  const called = [...source.matchAll(/\bnew (?:sdk\.)?([A-Z][A-Za-z]+)Command\(/g)].map(([, name = '']) =>
    // SQS checks a batch under the action of its single call ("Actions, resources, and condition keys for Amazon SQS").
    name.replace(/^((?:Send|Delete)Message)Batch$/, '$1'),
  )
  // SSM decrypts under the caller's rights.
  const allowed = actions.filter((action) => action !== 'kms:Decrypt').map((action) => action.split(':')[1])
  assert.deepEqual([...new Set(called)].toSorted(), [...new Set(allowed)].toSorted())
})

test('only what has no resources of its own is allowed everywhere', () => {
  const everywhere = statements.filter((statement) => (statement['Resource'] as string[]).includes('*'))
  assert.deepEqual(
    everywhere.map((statement) => statement['Action'] as unknown),
    [['autoscaling:DescribeAutoScalingInstances']],
  )
})

test('bodies and routes only, of the bucket; the instance’s own group only, of the groups', () => {
  assert.deepEqual(resourcesOf('Bodies'), ['arn:aws:s3:::mailfleet-prod/bodies/*'])
  assert.deepEqual(resourcesOf('Routes'), ['arn:aws:s3:::mailfleet-prod/routes.yaml'])
  assert.deepEqual(resourcesOf('Lifecycle'), [
    'arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:*:autoScalingGroupName/mailfleet-prod',
  ])
})

test('ready and deferred are the instances’; dead letters are a person’s', () => {
  assert.deepEqual(
    resourcesOf('Queues').map((arn) => arn.split(':').at(-1)),
    ['mailfleet-prod-ready', 'mailfleet-prod-deferred'],
  )
})

test('secrets are the named parameters, their key only through SSM and for them', () => {
  const parameters = ['srs-secrets', 'tls-key', 'tls-cert'].map(
    (name) => `arn:aws:ssm:eu-west-1:123456789012:parameter/mailfleet/prod/${name}`,
  )
  assert.deepEqual(resourcesOf('Secrets'), parameters)
  const key = statements.find((statement) => statement['Sid'] === 'SecretsKey')
  assert.deepEqual(key?.['Condition'], {
    StringEquals: {
      'kms:ViaService': 'ssm.eu-west-1.amazonaws.com',
      'kms:EncryptionContext:PARAMETER_ARN': parameters,
    },
  })
})

test('the role is EC2’s to take', () => {
  const { Statement } = JSON.parse(
    String(prod.one('iam/role:Role', 'mailfleet-prod')['assumeRolePolicy']),
  ) as {
    Statement: ResourceInputs[]
  }
  assert.deepEqual(
    Statement.map(({ Principal }) => Principal as unknown),
    [{ Service: 'ec2.amazonaws.com' }],
  )
})
