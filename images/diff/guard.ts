// The changes that every policy forbids by default: wider rights, new ports, units, setuid files or listeners. Pure.
// Owns which sections are guarded, and which changes are harmless. A policy allows a change by name.
import { basename } from 'node:path'
import { UNIT_FOLDERS } from '../describe/units.ts'
import type { Change, Diff, SectionName } from './compare.ts'

type Guard = {
  kinds: readonly Change['kind'][]
  why: string
  /** Changes that need no review. */
  isHarmless?: (change: Change, diff: Diff) => boolean
}

const ALL = ['added', 'removed', 'changed'] as const

/** By section. */
const GUARDS: Partial<Record<SectionName, Guard>> = {
  setuid: { kinds: ['added'], why: 'nobody on an instance may become another user' },
  units: { kinds: ALL, why: 'another set of units starts' },
  unitProperties: {
    kinds: ALL,
    why: 'a unit runs something else, or with other rights',
    isHarmless: ({ key }) => / Unit\.(Description|Documentation)$/.test(key),
  },
  texts: {
    kinds: ALL,
    why: 'it configures rights, ports, units or accounts',
    // The effective settings are compared, with drop-ins.
    isHarmless: ({ key }, { started }) => started.includes(unitOf(key)),
  },
  listening: { kinds: ['added'], why: 'another way in' },
  outgoing: { kinds: ['added'], why: 'an instance speaks to nobody that it need not' },
}

export const GUARDED = Object.keys(GUARDS) as SectionName[]

export type Guarded = { section: SectionName; change: Change; why: string }

/** The changes that the policy must allow by name. */
export function guardedChanges(diff: Diff): Guarded[] {
  return GUARDED.flatMap((section) => {
    const { kinds, why, isHarmless } = GUARDS[section]!
    const changes = diff.changes[section] ?? []
    return changes
      .filter((change) => kinds.includes(change.kind) && !isHarmless?.(change, diff))
      .map((change) => ({ section, change, why }))
  })
}

/** The unit of a file or a drop-in. Empty for a file of no single unit, such as a link in a `.wants` folder. */
function unitOf(path: string): string {
  const folder = UNIT_FOLDERS.find((each) => path.startsWith(`/${each}/`))
  if (folder === undefined) return ''
  const [first = '', ...rest] = path.slice(folder.length + 2).split('/')
  if (rest.length === 0) return basename(first)
  return rest.length === 1 && first.endsWith('.d') ? first.slice(0, -'.d'.length) : ''
}
