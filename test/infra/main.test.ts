// The program under Pulumi's real Node host. The resource graphs of both example stacks must equal test/infra/golden/.
// UPDATE_GOLDEN=1 writes these files anew; review the difference.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fakeAccount } from '../kit/aws/fake-aws.ts'
import { PROJECT_FOLDER, type StackName } from '../kit/pulumi/example-stack.ts'
import { runPulumiHost } from '../kit/pulumi/host.ts'
import { resourceGraph } from '../kit/pulumi/resource-graph.ts'

function compareWithGolden(stack: StackName, graph: string): void {
  const golden = join(PROJECT_FOLDER, 'test/infra/golden', `${stack}.txt`)
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, graph)
  const argv = ['-u', '--label', 'golden', '--label', 'now', golden, '-']
  const diff = spawnSync('diff', argv, { input: graph, encoding: 'utf8' })
  if (diff.status !== 0)
    assert.fail(
      `the resource graph of ${stack} changed; if you intend that, run with UPDATE_GOLDEN=1\n${diff.stdout}${diff.stderr}`,
    )
}

for (const stack of ['dev', 'prod'] as const)
  test(`${stack}: the program registers the resources of the golden file`, async () => {
    const run = await runPulumiHost(stack, fakeAccount())
    assert.deepEqual(run.errors, [], run.output)
    assert.equal(run.exitCode, 0, run.output)
    assert.equal(run.outputs['groupName'], `mailfleet-${stack}`)
    compareWithGolden(stack, resourceGraph(run.resources, run.outputs))
  })

test('a first preview shows the resources that the update creates', async () => {
  const names = async (preview: boolean) => {
    const { resources, exitCode, output } = await runPulumiHost('dev', fakeAccount(), { preview })
    assert.equal(exitCode, 0, output)
    return resources.map(({ urn }) => urn).toSorted()
  }
  assert.deepEqual(await names(true), await names(false))
})

test('the host reports an error as one sentence, and only the stack itself is registered', async () => {
  const run = await runPulumiHost('dev', { ...fakeAccount(), images: {} }, { preview: true })
  assert.notEqual(run.exitCode, 0)
  assert.equal(run.errors.length, 1)
  assert.match(
    run.errors[0] ?? '',
    /^Image ami-0123456789abcdef0 does not exist in this account in eu-west-1\. .*\.$/,
  )
  assert.deepEqual(
    run.resources.map(({ type }) => type),
    ['pulumi:pulumi:Stack'],
  )
})

test('the group depends on the network, permissions and routes that its first instance needs', async () => {
  const { resources } = await runPulumiHost('dev', fakeAccount())
  const group = resources.find(({ type }) => type === 'aws:autoscaling/group:Group')
  for (const kind of ['RolePolicy', 'NatGateway', 'RouteTableAssociation', 'Listener', 'BucketObjectv2'])
    assert.ok(
      group?.dependencies.some((urn) => urn.includes(`:${kind}::`)),
      kind,
    )
})

test('the load balancer depends on the internet gateway', async () => {
  const { resources } = await runPulumiHost('dev', fakeAccount())
  const balancer = resources.find(({ type }) => type === 'aws:lb/loadBalancer:LoadBalancer')
  assert.ok(balancer?.dependencies.some((urn) => urn.includes(':InternetGateway::')))
})

test('the group’s delete timeout covers deregistration and drain of its last instance', async () => {
  const { resources } = await runPulumiHost('prod', fakeAccount())
  const group = resources.find(({ type }) => type === 'aws:autoscaling/group:Group')
  const seconds = Number(/^(\d+)s$/.exec(group?.deleteTimeout ?? '')?.[1])
  // The delay of deregistration, the load balancer's own 300 s, and the timeout of a hook.
  assert.ok(seconds >= 300 + 300 + 420, String(seconds))
})

test('under a Node without TypeScript the program fails with one sentence', async () => {
  // Node before 22.18 behaves like this.
  const run = await runPulumiHost('dev', fakeAccount(), { nodeOptions: '--no-strip-types' })
  assert.notEqual(run.exitCode, 0)
  assert.deepEqual(run.errors, [
    `The Pulumi program needs Node 22.18 or later; Pulumi found ${process.version} at ${process.execPath}. Run \`npx pulumi\`, which uses the pinned Node, or put a newer Node first on the PATH.`,
  ])
  assert.deepEqual(
    run.resources.map(({ type }) => type),
    ['pulumi:pulumi:Stack'],
  )
})

test('a group is deleted together with its hooks, so that its last instances drain', async () => {
  const { resources } = await runPulumiHost('dev', fakeAccount())
  const group = resources.find(({ type }) => type === 'aws:autoscaling/group:Group')
  const hooks = resources.filter(({ type }) => type === 'aws:autoscaling/lifecycleHook:LifecycleHook')
  assert.deepEqual(
    hooks.map(({ deletedWith }) => deletedWith),
    [group?.urn, group?.urn],
  )
})

test('with protect, Pulumi refuses to delete every resource that carries mail', async () => {
  const prod = await runPulumiHost('prod', fakeAccount())
  const components = new Map(
    prod.resources
      .filter(({ custom, type }) => !custom && type.startsWith('mailfleet:'))
      .map(({ urn, type }) => [urn, type]),
  )
  /** They carry no mail, and a release may have to delete some of them. */
  const deletable = ['Alarms', 'QueuePulse', 'QueueScaling'].map((kind) => `mailfleet:aws:${kind}`)
  for (const { custom, parent, protect, urn } of prod.resources.filter(({ custom }) => custom))
    assert.equal(protect, custom && !deletable.includes(components.get(parent) ?? ''), urn)
  const dev = await runPulumiHost('dev', fakeAccount())
  assert.ok(dev.resources.every(({ protect }) => !protect))
})
