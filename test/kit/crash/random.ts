// Chance that can be repeated: everything random in a crash test comes from one printed seed.
import type { TestContext } from 'node:test'

/** A number from 0 up to 1. */
export type Random = () => number

/** Chance from the environment's SEED, or a new one; says which. */
export function seeded(t: TestContext): Random {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 32))
  t.diagnostic(`seed ${seed} (SEED=${seed} repeats the choices, not the scheduling)`)
  return mulberry32(seed)
}

export function between(random: Random, least: number, most: number): number {
  return least + random() * (most - least)
}

export function oneOf<T>(random: Random, items: readonly T[]): T {
  const item = items[Math.floor(random() * items.length)]
  if (item === undefined) throw new RangeError('nothing to choose from')
  return item
}

/** Tommy Ettinger's mulberry32 (public domain): 32 bits of state, good enough to pick victims and moments. */
function mulberry32(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
