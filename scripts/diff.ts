// `mailfleet image diff`: parse, compare, print; the answer is no when a policy forbids what changes.
import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { compareImages, readSide } from '../images/diff/compare.ts'
import { diffPage } from '../images/diff/html.ts'
import { readPolicy, violations } from '../images/diff/policy.ts'
import { diffText } from '../images/diff/text.ts'
import { InputError } from '../input/problems.ts'
import { bakedImage } from './image.ts'
import type { Project } from './project.ts'
import { writeFileAtomic } from '../platform/atomic-file.ts'

type DiffCommand = {
  project: Project
  before: string
  after: string
  json: boolean
  html?: string
  gate?: string
}

/** Compares two baked images. @throws {InputError} when one cannot be read, or the policy does not fit. */
export function imageDiff({ project, before, after, json, html, gate }: DiffCommand): number {
  const policy = gate === undefined ? undefined : readPolicy(gate)
  if (html !== undefined) requireFolderOf(html)
  const diff = compareImages(...sidesOf(project, before, after))
  const violated = policy && violations(diff, policy)
  if (html !== undefined) {
    writeFileAtomic(html, diffPage(diff, violated))
  }
  const result = { ...diff, ...(violated === undefined ? {} : { violations: violated }) }
  console.log(json ? JSON.stringify(result, null, 2) : diffText(diff, violated))
  return violated !== undefined && violated.length > 0 ? 1 : 0
}

/** Asked before the comparison. @throws {InputError} */
function requireFolderOf(file: string): void {
  const folder = dirname(resolve(file))
  if (existsSync(folder)) return
  const expected = 'a file in a folder that is there'
  throw new InputError('the command', [{ key: '--html', found: file, expected }])
}

function sidesOf(project: Project, before: string, after: string) {
  const side = (key: string, name: string) => readSide(bakedImage(project, name, key).folder)
  return [side('before', before), side('after', after)] as const
}
