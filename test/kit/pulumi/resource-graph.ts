// A stack's resources as text for a review: one block per resource, sorted. Equal resources give equal text.
// JSON inside texts (policies, user data) is shown as structures. Secrets and files are not shown.
import { relative } from 'node:path'
import { stringify } from 'yaml'
import type { RegisteredResource } from './fake-engine.ts'
import { PROJECT_FOLDER } from './example-stack.ts'

/** Pulumi's marks of special values (sdk/go/common/resource/sig). */
const MARK = '4dabf18193072939515e22adb298388d'
const SECRET = '1b47061264138c4ac30d75fd1eb44270'
const ASSET = 'c44067f5952c0a294b673a41bacd8c17'

export function resourceGraph(
  resources: readonly RegisteredResource[],
  outputs: Record<string, unknown>,
): string {
  const labels = new Map(resources.map((resource) => [resource.urn, labelOf(resource)]))
  const blocks = resources
    .filter(({ type }) => type !== 'pulumi:pulumi:Stack')
    .map((resource) => blockOf(resource, resources, labels))
  return [...blocks.toSorted(), yaml({ 'stack outputs': shown(outputs) })].join('\n')
}

function blockOf(
  resource: RegisteredResource,
  all: readonly RegisteredResource[],
  labels: Map<string, string>,
): string {
  const parent = labels.get(resource.parent) ?? ''
  const depends = collapsed(resource, all)
    .map((urn) => labels.get(urn) ?? urn)
    .toSorted()
  return yaml({
    [labelOf(resource)]: {
      parent: parent.startsWith('Stack ') ? undefined : parent,
      depends: depends.length > 0 ? depends : undefined,
      protect: resource.protect ? true : undefined,
      ignoreChanges: resource.ignoreChanges.length > 0 ? resource.ignoreChanges : undefined,
      deletedWith: resource.deletedWith === '' ? undefined : labels.get(resource.deletedWith),
      deleteTimeout: resource.deleteTimeout === '' ? undefined : resource.deleteTimeout,
      inputs: Object.keys(resource.inputs).length > 0 ? shown(resource.inputs) : undefined,
    },
  })
}

/** aws:ec2/vpc:Vpc → ec2.Vpc; mailfleet:aws:Network → Network. */
function labelOf({ type, name }: RegisteredResource): string {
  const [owner, module = '', kind = ''] = type.split(':')
  return `${owner === 'aws' ? `${module.split('/')[0]}.${kind}` : kind} ${name}`
}

/** The resource's dependencies, with a component in place of all its children. */
function collapsed({ dependencies }: RegisteredResource, all: readonly RegisteredResource[]): string[] {
  const rest = new Set(dependencies)
  const whole = all.filter(({ urn, custom, type }) => {
    if (custom || type === 'pulumi:pulumi:Stack') return false
    const children = all.filter((other) => other.parent === urn)
    return children.length > 1 && children.every((child) => dependencies.includes(child.urn))
  })
  for (const { urn } of whole) for (const child of all) if (child.parent === urn) rest.delete(child.urn)
  return [...rest, ...whole.map(({ urn }) => urn)]
}

function shown(value: unknown, key = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => shown(item))
  if (typeof value === 'string') return structure(key === 'userData' ? decoded(value) : value)
  if (typeof value !== 'object' || value === null) return value
  const marked = value as Record<string, unknown>
  if (marked[MARK] === SECRET) return '[secret]'
  if (marked[MARK] === ASSET) return `[file ${relative(PROJECT_FOLDER, String(marked['path']))}]`
  if (marked[MARK] !== undefined) return '[archive]'
  const entries = Object.entries(marked).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([name, item]) => [name, shown(item, name)]))
}

const decoded = (text: string) => Buffer.from(text, 'base64').toString()

function structure(text: string): unknown {
  if (!/^[[{]/.test(text)) return text
  try {
    return shown(JSON.parse(text))
  } catch {
    return text
  }
}

const yaml = (value: unknown) => stringify(value, { lineWidth: 0, singleQuote: true })
