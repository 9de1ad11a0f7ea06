// Checks a comparison against a policy: the changes that an image may not make without approval.
// Owns the policy's schema. Wider rights are forbidden unless the policy allows them; a missing comparison is a violation.
// Fails with InputError that lists all problems of the file.
import * as v from 'valibot'
import { checkInput, readInput } from '../../input/problems.ts'
import { SECTIONS, type Change, type Diff, type SectionName } from './compare.ts'
import { GUARDED, guardedChanges, type Guarded } from './guard.ts'

const sectionName = v.picklist(Object.keys(SECTIONS) as SectionName[], Object.keys(SECTIONS).join(', '))
const patterns = v.pipe(v.array(v.pipe(v.string(), v.minLength(1, 'a key'))), v.minLength(1, 'at least one'))
const kinds = v.picklist(['added', 'removed', 'changed'], 'added, removed or changed')

const policySchema = v.strictObject({
  format: v.literal(2, '2: since it, what widens rights is forbidden unless `allow` names it'),
  /** Guarded changes that are allowed; see guard.ts. */
  allow: v.optional(
    v.array(
      v.strictObject({
        in: v.picklist(GUARDED, GUARDED.join(', ')),
        change: v.optional(v.pipe(v.array(kinds), v.minLength(1, 'at least one'))),
        keys: patterns,
        why: v.pipe(v.string(), v.minLength(1, 'a reason, for who reviews it')),
      }),
    ),
    [],
  ),
  forbid: v.array(
    v.strictObject({
      in: sectionName,
      change: v.pipe(v.array(kinds), v.minLength(1, 'at least one')),
      /** Only changes of these keys; `*` matches any text. All keys when it is missing. */
      keys: v.optional(patterns),
      except: v.optional(patterns),
      why: v.pipe(v.string(), v.minLength(1, 'a reason, for whom it stops')),
    }),
  ),
  /** Figure of the sections sizes and boot → its allowed growth in percent. */
  growthPercent: v.optional(
    v.record(v.string(), v.pipe(v.number(), v.minValue(0, 'percent, 0 or more'))),
    {},
  ),
})

export type Policy = v.InferOutput<typeof policySchema>

/** @throws {InputError} */
export function readPolicy(file: string): Policy {
  return checkInput(file, policySchema, readInput(file))
}

/** The violations of the policy, a sentence each; empty when the comparison passes. */
export function violations(diff: Diff, policy: Policy): string[] {
  return [
    ...unseen(diff),
    ...guarded(diff, policy),
    ...policy.forbid.flatMap((rule) => forbidden(diff, rule)),
    ...grown(diff, policy),
  ]
}

/** The policy covers sections from receipts, so a missing receipt is a violation. */
function unseen({ notBooted, before, after }: Diff): string[] {
  const digests = new Set(notBooted.map((side) => (side === 'before' ? before : after)))
  return [...digests].map(
    (digest) =>
      `${digest.slice(0, 12)} has no receipt of a boot test, which a gate asks for: npx mailfleet image test`,
  )
}

function guarded(diff: Diff, { allow }: Policy): string[] {
  const isAllowed = ({ section, change }: Guarded) =>
    allow.some(
      (rule) =>
        rule.in === section &&
        (rule.change?.includes(change.kind) ?? true) &&
        rule.keys.some((pattern) => matches(pattern, change.key)),
    )
  return guardedChanges(diff)
    .filter((change) => !isAllowed(change))
    .map(({ section, change, why }) => `${section}: ${changeText(change)}: ${why}`)
}

function forbidden({ changes }: Diff, rule: Policy['forbid'][number]): string[] {
  const { keys, except } = rule
  const isMeant = ({ key, kind }: Change) =>
    rule.change.includes(kind) &&
    (keys === undefined || keys.some((pattern) => matches(pattern, key))) &&
    !(except ?? []).some((pattern) => matches(pattern, key))
  return (changes[rule.in] ?? [])
    .filter(isMeant)
    .map((change) => `${rule.in}: ${changeText(change)}: ${rule.why}`)
}

/** One change as a sentence. */
export function changeText({ key, kind, before = '', after = '', lines }: Change): string {
  if (lines !== undefined) return `${key} ${kind}: ${shownLines(lines).join(' ⏎ ')}`
  if (kind === 'changed') return `${key} changed: ${before} → ${after}`
  const value = kind === 'added' ? after : before
  return value === '' ? `${key} ${kind}` : `${key} ${kind} (${value})`
}

/** The number of lines of a change that a violation shows. */
const LINES_TOLD = 12

export function shownLines(lines: readonly string[]): string[] {
  const more = lines.length - LINES_TOLD
  return more > 0 ? [...lines.slice(0, LINES_TOLD), `… and ${more} more`] : [...lines]
}

function matches(pattern: string, key: string): boolean {
  const [first = '', ...rest] = pattern
    .split('*')
    .map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${[first, ...rest].join('.*')}$`, 's').test(key)
}

function grown({ figures, notBooted }: Diff, { growthPercent }: Policy): string[] {
  return Object.entries(growthPercent).flatMap(([key, percent]) => {
    const [old, fresh] = [figures.before[key], figures.after[key]]
    if (old === undefined || fresh === undefined) {
      const isBoot = /^(seconds|bytesRead|blocksRead)/.test(key)
      return isBoot && notBooted.length > 0
        ? []
        : [`growthPercent: no figure is called ${key} in both images`]
    }
    const found = ((fresh - old) / old) * 100
    if (found <= percent) return []
    return [`${key} grew by ${found.toFixed(1)} %, from ${old} to ${fresh}; at most ${percent} % are allowed`]
  })
}
