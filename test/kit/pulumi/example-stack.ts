// The configuration of the example stacks as Pulumi passes it to the program: values as text, structures as JSON.
// Owns: that reading, and nothing of what the keys mean.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'

export const PROJECT_FOLDER = join(import.meta.dirname, '../../..')

export type StackName = 'dev' | 'prod'

/** Pulumi.<stack>.yaml with `changes` applied; undefined removes a key. */
export function exampleConfig(
  stack: StackName,
  changes: Record<string, unknown> = {},
): Record<string, string> {
  const file = join(PROJECT_FOLDER, `Pulumi.${stack}.yaml`)
  const { config } = parse(readFileSync(file, 'utf8')) as { config: Record<string, unknown> }
  const changed = Object.entries({ ...config, ...changes }).filter(([, value]) => value !== undefined)
  return Object.fromEntries(
    changed.map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)]),
  )
}
