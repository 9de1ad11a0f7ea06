// The roles that docs/publish.md gives to CI, and the workflow that uses them: no role can do the work of another.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'

const root = join(import.meta.dirname, '../..')

type Statement = { Sid: string; Action: string | string[]; Resource: string | string[]; Condition?: object }

/** The policies of the page's section on permissions, by the role that the text before each begins with. */
const roles = new Map(
  [
    ...readFileSync(join(root, 'docs/publish.md'), 'utf8').matchAll(
      /\n`([a-z-]+)` [^`]*(?:`[^`\n]+`[^`]*)*\n```json\n(\{[^]*?\n\})\n```/g,
    ),
  ].map(
    ([, role = '', json = '']) => [role, (JSON.parse(json) as { Statement: Statement[] }).Statement] as const,
  ),
)
const list = (value: string | string[]) => [value].flat()
const allowing = (action: string) =>
  [...roles].flatMap(([role, statements]) =>
    statements
      .filter(({ Action }) => list(Action).includes(action))
      .map(({ Resource, Condition }) => ({ role, resources: list(Resource), condition: Condition })),
  )

test('there are four roles', () => {
  assert.deepEqual([...roles.keys()], ['publish', 'promote-staging', 'promote-prod', 'prune'])
})

test('only its own role writes a channel', () => {
  const channel = (name: string) => [`arn:aws:ssm:*:ACCOUNT:parameter/mailfleet/${name}/image`]
  for (const action of ['ssm:PutParameter', 'ssm:DeleteParameter'])
    assert.deepEqual(
      allowing(action).map(({ role, resources }) => [role, resources]),
      [
        ['promote-staging', channel('staging')],
        ['promote-prod', channel('prod')],
      ],
    )
})

test('only images and snapshots with our tag can be deleted', () => {
  const ours = { StringLike: { 'aws:ResourceTag/mailfleet:digest': '?*' } }
  for (const action of ['ec2:DeregisterImage', 'ec2:DeleteSnapshot'])
    assert.deepEqual(
      allowing(action).map(({ role, condition }) => [role, condition]),
      [
        ['publish', ours],
        ['prune', ours],
      ],
    )
})

type Job = {
  environment?: string
  concurrency?: { group: string }
  permissions?: Record<string, string>
  needs?: string | string[]
}
const workflow = parse(readFileSync(join(root, '.github/workflows/golden-image.yml'), 'utf8')) as {
  concurrency: { group: string }
  jobs: Record<string, Job>
}

test('each job with a role has its own environment and its own lock', () => {
  const jobs = Object.entries(workflow.jobs).filter(
    ([, { permissions }]) => permissions?.['id-token'] === 'write',
  )
  assert.deepEqual(
    jobs.map(([name, { environment, concurrency }]) => [name, environment, concurrency?.group]),
    ['publish', 'staging', 'production', 'prune'].map((name) => [
      name,
      `image-${name}`,
      `golden-image-${name}`,
    ]),
  )
})

test('the soak holds no lock, neither of its job nor of its run', () => {
  const soak = workflow.jobs['soak']
  assert.equal(soak?.environment, 'image-soak')
  assert.equal(soak.concurrency, undefined)
  assert.deepEqual(soak.permissions, {})
  assert.deepEqual(workflow.jobs['production']?.needs, ['staging', 'soak'])
  assert.match(workflow.concurrency.group, /\|\| github\.run_id \}\}$/)
})
