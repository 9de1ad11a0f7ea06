// Random numbers that repeat: the same seed gives the same sequence.
// The generator is mulberry32, with 32 bits of state: good enough for arrivals and jitter, not for secrets.

/** A number from 0 up to, but not including, 1. */
export type Random = () => number

export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A number from `low` up to `high`, evenly distributed. */
export function between(random: Random, [low, high]: readonly [number, number]): number {
  return low + (high - low) * random()
}
