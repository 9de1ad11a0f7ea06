// The gate between the image that runs and the one that is to replace it: a policy of what may not change unnoticed.
// Owns: its schema, and holding a comparison to it. What a policy speaks of and nobody could see is a violation too.
// Fails with InputError, all problems of the file at once.
import * as v from 'valibot'
import { checkInput, readInput } from '../../input/problems.ts'
import { FROM_RECEIPTS, SECTIONS, type Change, type Diff, type SectionName } from './compare.ts'

const sectionName = v.picklist(Object.keys(SECTIONS) as SectionName[], Object.keys(SECTIONS).join(', '))
const patterns = v.pipe(v.array(v.pipe(v.string(), v.minLength(1, 'a key'))), v.minLength(1, 'at least one'))
const kinds = v.picklist(['added', 'removed', 'changed'], 'added, removed or changed')

const policySchema = v.strictObject({
  format: v.literal(1, '1'),
  forbid: v.array(
    v.strictObject({
      in: sectionName,
      change: v.pipe(v.array(kinds), v.minLength(1, 'at least one')),
      /** Only changes of these keys; `*` stands for anything. All keys when it is missing. */
      keys: v.optional(patterns),
      except: v.optional(patterns),
      why: v.pipe(v.string(), v.minLength(1, 'a reason, for whom it stops')),
    }),
  ),
  /** Figure (of the sections sizes and boot) → by how many percent it may grow. */
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

/** Sentences that say what the policy forbids in a comparison; none when it passes. */
export function violations(diff: Diff, policy: Policy): string[] {
  return [
    ...unseen(diff, policy),
    ...policy.forbid.flatMap((rule) => forbidden(diff, rule)),
    ...grown(diff, policy),
  ]
}

/** Rules about what only a boot shows hold nothing to account without one. */
function unseen({ notBooted, before, after }: Diff, { forbid, growthPercent }: Policy): string[] {
  const asked = forbid.some((rule) => FROM_RECEIPTS.includes(rule.in)) || 'blocksRead' in growthPercent
  if (!asked) return []
  const digests = new Set(notBooted.map((side) => (side === 'before' ? before : after)))
  return [...digests].map(
    (digest) =>
      `${digest.slice(0, 12)} has no receipt of a boot test, which the policy asks for: npx mailfleet image test`,
  )
}

function forbidden({ changes }: Diff, rule: Policy['forbid'][number]): string[] {
  const { keys, except } = rule
  const isMeant = ({ key, kind }: Change) =>
    rule.change.includes(kind) &&
    (keys === undefined || keys.some((pattern) => matches(pattern, key))) &&
    !(except ?? []).some((pattern) => matches(pattern, key))
  return changes[rule.in].filter(isMeant).map((change) => `${rule.in}: ${changeText(change)}: ${rule.why}`)
}

/** One change in words. */
export function changeText({ key, kind, before = '', after = '' }: Change): string {
  if (kind === 'changed') return `${key} changed: ${before} → ${after}`
  const value = kind === 'added' ? after : before
  return value === '' ? `${key} ${kind}` : `${key} ${kind} (${value})`
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
