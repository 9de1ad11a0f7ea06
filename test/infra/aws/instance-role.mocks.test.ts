// An instance's permissions: exactly the calls that the server makes, on exactly this fleet's resources.

import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { PROJECT_FOLDER } from '../../kit/pulumi/example-stack.ts'
import { runMockedStack, type ResourceInputs } from '../../kit/pulumi/mocked-stack.ts'

const prod = await runMockedStack('prod')
const { Statement: statements } = JSON.parse(
  String(prod.one('iam/rolePolicy:RolePolicy', 'mailfleet-prod')['policy']),
) as {
  Statement: ResourceInputs[]
}
const actions = statements.flatMap((statement) => statement['Action'] as string[])
const resourcesOf = (sid: string) =>
  statements.find((statement) => statement['Sid'] === sid)?.['Resource'] as string[]

test('the role allows these actions and no others', () => {
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

test('the role allows exactly the AWS calls in the server’s source', () => {
  const source = globSync('server/**/*.ts', { cwd: PROJECT_FOLDER })
    .map((file) => readFileSync(join(PROJECT_FOLDER, file), 'utf8'))
    .join('\n')
  const called = [...source.matchAll(/\bnew (?:sdk\.)?([A-Z][A-Za-z]+)Command\(/g)].map(([, name = '']) =>
    // SQS checks a batch under the action of its single call ("Actions, resources, and condition keys for Amazon SQS").
    name.replace(/^((?:Send|Delete)Message)Batch$/, '$1'),
  )
  // SSM decrypts with the caller's permissions.
  const allowed = actions.filter((action) => action !== 'kms:Decrypt').map((action) => action.split(':')[1])
  assert.deepEqual([...new Set(called)].toSorted(), [...new Set(allowed)].toSorted())
})

test('only actions without a resource level are allowed on all resources', () => {
  const everywhere = statements.filter((statement) => (statement['Resource'] as string[]).includes('*'))
  assert.deepEqual(
    everywhere.map((statement) => statement['Action'] as unknown),
    [['autoscaling:DescribeAutoScalingInstances']],
  )
})

test('the role reaches only bodies and routes in the bucket, and only its own group', () => {
  assert.deepEqual(resourcesOf('Bodies'), ['arn:aws:s3:::mailfleet-prod/bodies/*'])
  assert.deepEqual(resourcesOf('Routes'), ['arn:aws:s3:::mailfleet-prod/routes.yaml'])
  assert.deepEqual(resourcesOf('Lifecycle'), [
    'arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:*:autoScalingGroupName/mailfleet-prod',
  ])
})

test('instances may use the ready and deferred queues, but not the dead letters', () => {
  assert.deepEqual(
    resourcesOf('Queues').map((arn) => arn.split(':').at(-1)),
    ['mailfleet-prod-ready', 'mailfleet-prod-deferred'],
  )
})

test('the role reads the named parameters, and decrypts only them and only through SSM', () => {
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

test('only EC2 may assume the role', () => {
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
