// Random choices of the crash tests. All come from one printed seed, so that a run can be repeated.
import type { TestContext } from 'node:test'
import { seededRandom, type Random } from '../../../platform/seeded-random.ts'

/** Seeds a generator with the environment variable SEED, or with a new seed. The test's output names the seed. */
export function seeded(t: TestContext): Random {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 32))
  t.diagnostic(`seed ${seed} (SEED=${seed} repeats the choices, not the scheduling)`)
  return seededRandom(seed)
}

export function oneOf<T>(random: Random, items: readonly T[]): T {
  const item = items[Math.floor(random() * items.length)]
  if (item === undefined) throw new RangeError('nothing to choose from')
  return item
}
