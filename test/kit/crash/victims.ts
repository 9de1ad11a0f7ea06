// Keeps processes running and kills them with SIGKILL at random moments under load. Owns: which of them are up, the
// rounds, and that none outlives the test.
import { setTimeout as sleep } from 'node:timers/promises'
import { between, type Random } from '../../../platform/seeded-random.ts'
import { oneOf } from './random.ts'

/** A running process: how to kill it, and when it has ended. */
export type Running = { kill: () => void; exited: Promise<unknown> }

export type Victims<R extends Running> = {
  /** The processes that serve now. */
  up: () => R[]
  /** Resolves when all of them serve. */
  allUp: () => Promise<void>
  /**
   * Kills a random serving process after a random wait. Returns when it has ended; its successor is starting by then.
   */
  round: (random: Random) => Promise<void>
  /** From now on processes may end, and none is restarted. */
  mayEnd: () => void
  /** Kills all processes that run or start. */
  killAll: () => Promise<void>
}

/** The longest time that a victim works before the kill: up to several leases and commits. */
const LONGEST_WAIT_MS = 250

/** Keeps one process running for each of `starters`, which resolve when their process serves. */
export function keepRunning<R extends Running>(starters: (() => Promise<R>)[]): Victims<R> {
  const running = new Map<number, R>()
  const killed = new Set<R>()
  const failures: unknown[] = []
  let ended = false

  async function keep(slot: number, start: () => Promise<R>): Promise<void> {
    while (!ended) {
      const process = await start()
      running.set(slot, process)
      await process.exited
      running.delete(slot)
      if (!ended && !killed.has(process)) throw new Error('a process ended by itself')
    }
  }

  const kept = starters.map((start, slot) => keep(slot, start).catch((error) => void failures.push(error)))

  async function until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (failures.length > 0) throw failures[0]
      await sleep(2)
    }
  }

  return {
    up: () => [...running.values()],
    allUp: () => until(() => running.size === starters.length),
    round: async (random) => {
      await sleep(between(random, [0, LONGEST_WAIT_MS]))
      await until(() => running.size > 0)
      const victim = oneOf(random, [...running.values()])
      killed.add(victim)
      victim.kill()
      await victim.exited
    },
    mayEnd: () => {
      ended = true
    },
    killAll: async () => {
      ended = true
      const all = Promise.all(kept)
      const blows = setInterval(() => running.forEach((process) => process.kill()), 10)
      await all.finally(() => clearInterval(blows))
    },
  }
}
