// A stack's configuration: its defaults, and errors that name each problem with the command that corrects it.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { readStackConfig, StackConfigError, type StackConfig } from '../../infra/stack-config.ts'

function rootFolder(t: TestContext, routes = 'domains: {}\n'): string {
  const root = mkdtempSync(join(tmpdir(), 'stack-config-'))
  t.after(() => rmSync(root, { recursive: true }))
  writeFileSync(join(root, 'routes.yaml'), routes)
  return root
}

const LEAST = {
  'mailfleet:hostname': 'mx.example.net',
  'mailfleet:postmaster': 'ops@mailbox.example',
  'mailfleet:srsDomain': 'srs.example.com',
  'mailfleet:routesFile': 'routes.yaml',
}

function read(t: TestContext, changes: Record<string, string | undefined>): StackConfig {
  const all = Object.entries({ ...LEAST, ...changes }).filter((entry): entry is [string, string] => {
    return entry[1] !== undefined
  })
  return readStackConfig(Object.fromEntries(all), 'test', rootFolder(t))
}

/** The lines of the error. */
function refusal(t: TestContext, changes: Record<string, string | undefined>): string[] {
  try {
    read(t, changes)
  } catch (error) {
    assert.ok(error instanceof StackConfigError)
    return error.message.split('\n').map((line) => line.trim())
  }
  return assert.fail('the configuration was accepted')
}

test('four keys are required, and the others have defaults', (t) => {
  const root = rootFolder(t)
  const config = readStackConfig({ ...LEAST, 'aws:region': 'eu-west-1' }, 'test', root)
  assert.equal(config.fleetName, 'mailfleet-test')
  assert.equal(config.srsSecretsParameter, '/mailfleet/test/srs-secrets')
  assert.equal(config.routesFile, join(root, 'routes.yaml'))
  assert.equal(config.availabilityZones, 2)
  assert.equal(config.natPerZone, false)
  assert.equal(config.spot, false)
  assert.equal(config.drainMs, 300_000)
  assert.equal(config.vpcCidr, '10.20.0.0/16')
  assert.deepEqual(config.instanceTypes, ['c7i.large', 'c6i.large'])
  assert.deepEqual([config.policy.minInstances, config.policy.maxInstances], [1, 10])
})

test('numbers, flags and structures are parsed from text', (t) => {
  const config = read(t, {
    'mailfleet:availabilityZones': '3',
    'mailfleet:spot': 'true',
    'mailfleet:instanceTypes': '["m7i.large"]',
    'mailfleet:policy': '{"minInstances":2,"scaleIn":{"periods":60}}',
  })
  assert.equal(config.availabilityZones, 3)
  assert.equal(config.spot, true)
  assert.deepEqual(config.instanceTypes, ['m7i.large'])
  assert.equal(config.policy.minInstances, 2)
  assert.equal(config.policy.scaleIn.periods, 60)
})

test('the error names all problems, each with the command that corrects it', (t) => {
  assert.deepEqual(
    refusal(t, {
      'mailfleet:hostname': undefined,
      'mailfleet:postmaster': 'nobody',
      'mailfleet:srsDomain': 'srs',
      'mailfleet:availabilityZones': 'three',
      'mailfleet:sport': 'true',
      'mailfleet:policy': '{"minInstances":0,"surge":{"stepp":4}}',
      'mailfleet:instanceTypes': '["c7i.large","big"]',
      'mailfleet:routesFile': 'nowhere.yaml',
    }),
    [
      'Pulumi.test.yaml: 9 problems',
      'hostname: expected a value, found nothing',
      "pulumi config set --stack test 'mailfleet:hostname' mx.example.net",
      'postmaster: expected an e-mail address, found "nobody"',
      "pulumi config set --stack test 'mailfleet:postmaster' postmaster@example.com",
      'srsDomain: expected a full host name such as srs.example.com, found "srs"',
      "pulumi config set --stack test 'mailfleet:srsDomain' srs.example.com",
      'instanceTypes.1: expected an instance type such as c7i.large, found "big"',
      "pulumi config set --stack test --path 'mailfleet:instanceTypes[1]' c7i.large",
      'availabilityZones: expected a whole number, 1 to 6, found "three"',
      "pulumi config set --stack test 'mailfleet:availabilityZones' 2",
      'policy.minInstances: expected at least 1, found 0',
      "pulumi config set --stack test --path 'mailfleet:policy.minInstances' 2",
      'policy.surge.stepp: expected no such key, found this key',
      "pulumi config rm --stack test --path 'mailfleet:policy.surge.stepp'",
      'sport: expected no such key, found this key',
      "pulumi config rm --stack test 'mailfleet:sport'",
      'routesFile: expected a readable file of routes in YAML, found nowhere.yaml (ENOENT)',
      "pulumi config set --stack test 'mailfleet:routesFile' routes.yaml",
    ],
  )
})

test('the configuration is accepted with the values that the commands set', (t) => {
  const wrong = [
    'hostname',
    'postmaster',
    'srsDomain',
    'srsAcknowledgeAligned',
    'srsSecretsParameter',
    'routesFile',
    'imageChannel',
    'imageOwner',
    'instanceTypes',
    'spot',
    'vpcCidr',
    'availabilityZones',
    'natPerZone',
    'sqsEndpoint',
    'alarmEmail',
    'tlsKeyParameter',
    'tlsCertParameter',
    'drainMs',
    'maxEntries',
    'reservePulse',
    'protect',
    'policy',
  ].map((key) => [`mailfleet:${key}`, '?'] as const)
  const commands = refusal(t, Object.fromEntries(wrong)).flatMap((line) => {
    const [, key, value] =
      /^pulumi config set (?:--plaintext )?--stack test '(.+?)' '?(.+?)'?$/.exec(line) ?? []
    return key === undefined || value === undefined ? [] : [[key, value] as const]
  })
  assert.deepEqual(commands.map(([key]) => key).toSorted(), wrong.map(([key]) => key).toSorted())
  assert.doesNotThrow(() => read(t, Object.fromEntries(commands)))
})

test('routes that are not YAML are refused with the position', (t) => {
  const root = rootFolder(t, 'domains:\n  example.org: {aliases: [}\n')
  assert.throws(
    () => readStackConfig(LEAST, 'test', root),
    (error: StackConfigError) => {
      assert.equal(error.problems.length, 1)
      assert.match(error.message, /routesFile: expected .* found line 2, column 27 /)
      return true
    },
  )
})

test('imageId and imageChannel exclude each other', (t) => {
  assert.deepEqual(
    refusal(t, { 'mailfleet:imageId': 'ami-0123456789abcdef0', 'mailfleet:imageChannel': 'prod' }).slice(1),
    [
      'imageId: expected either imageId or imageChannel, not both, found "ami-0123456789abcdef0"',
      "pulumi config rm --stack test 'mailfleet:imageId'",
    ],
  )
})

test('a TLS key without a certificate is refused', (t) => {
  assert.deepEqual(refusal(t, { 'mailfleet:tlsKeyParameter': '/mailfleet/test/key' }).slice(1), [
    'tlsCertParameter: expected tlsKeyParameter and tlsCertParameter together, or neither, found nothing',
    "pulumi config set --plaintext --stack test 'mailfleet:tlsCertParameter' /mailfleet/prod/tls-cert",
  ])
})

test('the command sets a secret’s parameter name with --plaintext, or Pulumi takes the name for a secret', (t) => {
  assert.deepEqual(refusal(t, { 'mailfleet:srsSecretsParameter': '?' }).slice(1), [
    'srsSecretsParameter: expected the name of an SSM parameter such as /mailfleet/prod/secret, found a text of 1 characters',
    "pulumi config set --plaintext --stack test 'mailfleet:srsSecretsParameter' /mailfleet/prod/srs-secrets",
  ])
})

test('maxInstances below minInstances is refused', (t) => {
  assert.deepEqual(refusal(t, { 'mailfleet:policy': '{"minInstances":9,"maxInstances":2}' }).slice(1), [
    'policy.maxInstances: expected at least minInstances, found 2',
    "pulumi config set --stack test --path 'mailfleet:policy.maxInstances' 20",
  ])
})

const blocks: [block: string, ok: boolean][] = [
  ['10.0.0.0/16', true],
  ['172.16.0.0/18', true],
  ['172.31.240.0/20', true],
  ['192.168.0.0/16', true],
  ['172.32.0.0/16', false],
  ['8.8.0.0/16', false],
  ['10.0.0.0/8', false],
  ['10.0.0.0/24', false],
  ['10.0.16.0/16', false],
  ['10.0.0.1/20', false],
  ['10.300.0.0/16', false],
  ['10.0.0.0', false],
]

for (const [block, ok] of blocks)
  test(`${block} is ${ok ? 'a' : 'no'} block for a VPC`, (t) => {
    if (ok) assert.equal(read(t, { 'mailfleet:vpcCidr': block }).vpcCidr, block)
    else
      assert.match(
        refusal(t, { 'mailfleet:vpcCidr': block })[1] ?? '',
        /^vpcCidr: expected a private IPv4 block/,
      )
  })

test('a fraction inside a structure is parsed from text', (t) => {
  const config = read(t, { 'mailfleet:policy': '{"scaleIn":{"fraction":"0.25"}}' })
  assert.equal(config.policy.scaleIn.fraction, 0.25)
})

test('a text where a list belongs is refused', (t) => {
  assert.deepEqual(refusal(t, { 'mailfleet:instanceTypes': 'c7i.large' }).slice(1), [
    'instanceTypes: expected a list of instance types, found "c7i.large"',
    `pulumi config set --stack test 'mailfleet:instanceTypes' '["c7i.large"]'`,
  ])
})

test('an SRS domain that DMARC aligns with a domain of the stack is refused until it is acknowledged', (t) => {
  const routes = 'domains:\n  example.com: { aliases: {} }\n  b.example: { aliases: {} }\n'
  const root = rootFolder(t, routes)
  assert.throws(
    () => readStackConfig({ ...LEAST, 'mailfleet:hostname': 'mx.example.com' }, 'test', root),
    (error: StackConfigError) => {
      assert.deepEqual(error.problems, [
        {
          key: 'srsDomain',
          found: 'srs.example.com, which DMARC aligns with mx.example.com, example.com',
          expected: 'a domain outside example.com, or srsAcknowledgeAligned: example.com',
        },
      ])
      return true
    },
  )
  const acknowledged = { ...LEAST, 'mailfleet:srsAcknowledgeAligned': 'example.com' }
  assert.equal(readStackConfig(acknowledged, 'test', root).srsAcknowledgeAligned, 'example.com')
})

test('the configuration of other providers is ignored', (t) => {
  assert.doesNotThrow(() => read(t, { 'aws:profile': 'prod', 'pulumi:tags': '{}' }))
})

test('a stack name too long for the resource names is refused', (t) => {
  const root = rootFolder(t)
  for (const stack of ['dev', 'p', 'staging-eu-w-1']) assert.ok(readStackConfig({ ...LEAST }, stack, root))
  for (const stack of ['staging-eu-west-1', 'Dev', 'a_b', 'dev-', 'a.b'])
    assert.throws(
      () => readStackConfig({ ...LEAST }, stack, root),
      (error: Error) => error.message.endsWith(`pulumi stack rename NAME --stack ${stack}`),
      stack,
    )
})
