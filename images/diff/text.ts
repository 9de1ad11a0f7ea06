// A comparison of two images as text for a terminal or a comment. Pure.
import { SECTIONS, type Change, type Diff, type SectionName } from './compare.ts'
import { changeText, shownLines } from './policy.ts'

/** The number of changes that a section shows. The page and the JSON have all. */
const SHOWN = 40

/** @param violated the violations of the policy; undefined without a policy */
export function diffText(diff: Diff, violated: readonly string[] | undefined): string {
  const lines = [`before ${diff.before}`, `after  ${diff.after}`]
  if (diff.before === diff.after) lines.push('the same bytes')
  for (const [name, title] of Object.entries(SECTIONS) as [SectionName, string][]) {
    const changes = diff.changes[name]
    if (changes === null) lines.push('', `${title}: not compared`)
    if (changes === null || changes.length === 0) continue
    lines.push('', `${title}: ${counts(changes)}`)
    if (name === 'files') lines.push(...byPackage(changes))
    else lines.push(...changes.slice(0, SHOWN).flatMap(linesOf))
    const more = changes.length - SHOWN
    if (name !== 'files' && more > 0) lines.push(`  … and ${more} more`)
  }
  for (const digest of new Set(diff.notBooted.map((side) => diff[side])))
    lines.push('', `${digest.slice(0, 12)} has no receipt of this boot test: npx mailfleet image test`)
  if (violated !== undefined)
    lines.push('', violated.length === 0 ? 'The policy allows it.' : `The policy forbids ${violated.length}:`)
  lines.push(...(violated ?? []).map((violation) => `  ${violation}`))
  return lines.join('\n')
}

/** One change, with the changed lines of a text below it. */
function linesOf(change: Change): string[] {
  if (change.lines === undefined) return [`  ${changeText(change)}`]
  return [`  ${change.key} ${change.kind}`, ...shownLines(change.lines).map((line) => `    ${line}`)]
}

/** `2 added, 1 changed` */
export function counts(changes: readonly Change[]): string {
  return (['added', 'removed', 'changed'] as const)
    .map((kind) => [changes.filter((change) => change.kind === kind).length, kind] as const)
    .filter(([count]) => count > 0)
    .map(([count, kind]) => `${count} ${kind}`)
    .join(', ')
}

/** The package at the end of a file's description. */
export const packageOf = ({ before = '', after = before }: Change) =>
  /\(([^()]*|\(\w+\))\)$/.exec(after)?.[1] ?? ''

function byPackage(changes: readonly Change[]): string[] {
  const groups = [...Map.groupBy(changes, packageOf)].sort(([a], [b]) => (a < b ? -1 : 1))
  return groups.flatMap(([name, group]) => {
    const few = group.length <= 5 ? group.map(({ key, kind }) => `    ${key} ${kind}`) : []
    return [`  ${name}: ${counts(group)}`, ...few]
  })
}
