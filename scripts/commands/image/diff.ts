// `mailfleet image diff`: compares two baked images. Exit 1 when the policy forbids a change.
import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { Command } from 'commander'
import { compareImages, readSide } from '../../../images/diff/compare.ts'
import { diffPage } from '../../../images/diff/html.ts'
import { readPolicy, violations } from '../../../images/diff/policy.ts'
import { diffText } from '../../../images/diff/text.ts'
import { InputError } from '../../../input/problems.ts'
import { bakedImage } from '../../baked-image.ts'
import type { CommandContext } from '../../options.ts'
import type { Project } from '../../project.ts'
import { writeFileAtomic } from '../../../platform/atomic-file.ts'

type DiffCommand = {
  project: Project
  before: string
  after: string
  json: boolean
  html?: string
  gate?: string
}

export default function addDiff(image: Command, { project }: CommandContext): void {
  image
    .command('diff')
    .description('what differs between two images: packages, files, settings, sockets, sizes, boot')
    .argument('<before>', 'the image that runs: its folder or digest')
    .argument('<after>', 'the image that is to replace it; `latest` is the newest')
    .option('--gate <policy>', 'exit 1 if the policy forbids a change, and print which')
    .option('--html <file>', 'also write the comparison as one page of HTML')
    .option('--json', 'print the comparison as JSON')
    .action((before: string, after: string, options: { gate?: string; html?: string; json?: true }) => {
      process.exitCode = diffImages({ project, before, after, ...options, json: options.json ?? false })
    })
}

/** @throws {InputError} when one cannot be read, or the policy does not fit. */
function diffImages({ project, before, after, json, html, gate }: DiffCommand): number {
  const policy = gate === undefined ? undefined : readPolicy(gate)
  if (html !== undefined) requireFolderOf(html)
  const diff = compareImages(...sidesOf(project, before, after))
  const violated = policy && violations(diff, policy)
  if (html !== undefined) writeFileAtomic(html, diffPage(diff, violated))
  const result = { ...diff, ...(violated === undefined ? {} : { violations: violated }) }
  console.log(json ? JSON.stringify(result, null, 2) : diffText(diff, violated))
  return violated !== undefined && violated.length > 0 ? 1 : 0
}

/** Checked before the comparison. @throws {InputError} */
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
