// Whether an instance takes mail: the gate of the load balancer and of the launch hook. Owns: that it opens once, when
// there are routes and the canary is back. It closes for a drain, and while the own spool takes nothing. A queue, S3 or DNS that is down later on is down
// for every instance of the fleet: a gate that closed for it would take all of them out, and senders would meet no
// server at all instead of a 4xx. Cannot fail.
import { setTimeout as sleep } from 'node:timers/promises'
import type { RouteSource } from '../routing/file-source.ts'
import type { Queue } from '../queue/queue.ts'
import type { Canary } from './canary.ts'

export type Readiness = {
  /** Why it takes no mail; null when it does. */
  problem: () => string | null
  /** Resolves when it takes mail for the first time. */
  reached: Promise<void>
}

type ReadinessOptions = {
  /** Not draining. */
  isOpen: () => boolean
  routes: Pick<RouteSource, 'current'>
  queue: Pick<Queue, 'problem'>
  /** null for an instance that is in no fleet: it sends none. */
  canary: Canary | null
}

const LOOK_MS = 50

export function watchReadiness({ isOpen, routes, queue, canary }: ReadinessOptions): Readiness {
  let latched = false

  async function reach(): Promise<void> {
    await canary?.back
    while (routes.current() === null || spoolProblem() !== null)
      await sleep(LOOK_MS, undefined, { ref: false })
    latched = true
  }

  /** A slow commit is no reason: the next one may be fast. */
  function spoolProblem(): string | null {
    const problem = queue.problem()
    return problem === null || problem.reason === 'slow-commit' ? null : problem.text
  }

  const missing = () => (routes.current() === null ? 'routes not loaded' : (canary?.problem() ?? null))
  return {
    problem: () => (!isOpen() ? 'draining' : (spoolProblem() ?? (latched ? null : missing()))),
    reached: reach(),
  }
}
