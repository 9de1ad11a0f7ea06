// Whether an instance takes mail: the check of the load balancer and of the launch hook. Owns: when the
// instance is ready. It becomes ready once there are routes and the canary has returned. It stops being ready
// while it drains, and while its own spool stores nothing. A later outage of the queue, S3 or DNS does not
// change that: otherwise every instance would leave service, and senders would find no server instead of a
// 4xx. Never throws.
import { setTimeout as sleep } from 'node:timers/promises'
import type { RouteSource } from '../routing/file-source.ts'
import type { Queue } from '../queue/queue.ts'
import type { Canary } from './canary.ts'

export type Readiness = {
  /** Why the instance takes no mail; null when it does. */
  problem: () => string | null
  /** Resolves when the instance takes mail for the first time. */
  reached: Promise<void>
}

type ReadinessOptions = {
  /** False while the instance drains. */
  isOpen: () => boolean
  routes: Pick<RouteSource, 'current'>
  queue: Pick<Queue, 'problem'>
  /** null for an instance outside a fleet, which sends no canary. */
  canary: Canary | null
}

const POLL_MS = 50

export function watchReadiness({ isOpen, routes, queue, canary }: ReadinessOptions): Readiness {
  let latched = false

  async function reach(): Promise<void> {
    await canary?.back
    while (routes.current() === null || spoolProblem() !== null)
      await sleep(POLL_MS, undefined, { ref: false })
    latched = true
  }

  /** A slow commit does not count, since the next one may be fast. */
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
