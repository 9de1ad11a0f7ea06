// Submits the new messages of each phase at random, seeded times, and then waits for the deliveries.
// Each wait has a timeout, after which the storm continues. Rejects only when it is aborted.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Fleet } from '../infra/local/fleet.ts'
import type { PhaseTime } from './report.ts'
import type { Ledger } from './ledger.ts'
import { stormMessage } from './message.ts'
import type { Random } from '../platform/seeded-random.ts'
import { phaseAt, phasesMs, type Scenario } from './scenario.ts'
import type { StormSenders } from './senders.ts'

/** The last phase ends after so many periods at the minimum, so that the report shows a steady end. */
const SETTLED_PERIODS = 3
const TICK_MS = 20

type PhasesOptions = {
  fleet: Fleet
  scenario: Scenario
  senders: StormSenders
  random: Random
  onPhase: (name: string) => void
  signal?: AbortSignal
}

/** The last phase lasts until the fleet is at its minimum again, at most `settleSeconds` longer. */
export async function runPhases(options: PhasesOptions): Promise<PhaseTime[]> {
  const { fleet, scenario, senders, random } = options
  const startMs = fleet.nowMs()
  const phasesEndMs = phasesMs(scenario)
  const latestEndMs = phasesEndMs + scenario.settleSeconds * 1000
  const times: PhaseTime[] = []
  let nextMs = 0
  let serial = 0
  for (let atMs = 0; atMs < phasesEndMs || (atMs < latestEndMs && !isSettled(options));) {
    const phase = phaseAt(scenario.phases, atMs)
    if (!phase) break
    if (times.at(-1)?.name !== phase.name) {
      const fromMs = startMs + atMs
      endLast(times, fromMs)
      times.push({ name: phase.name, perSecond: phase.perSecond, fromMs, toMs: fromMs })
      options.onPhase(phase.name)
      nextMs = Math.max(nextMs, atMs)
    }
    for (; nextMs <= atMs; nextMs += gapMs(phase.perSecond, random)) {
      serial += 1
      senders.submit(stormMessage(serial, random, scenario))
    }
    await tick(options)
    atMs = fleet.nowMs() - startMs
  }
  endLast(times, fleet.nowMs())
  return times
}

/** Waits until each message has a final result and each accepted message has arrived. */
export async function waitUntilDelivered(
  options: Pick<PhasesOptions, 'fleet' | 'scenario' | 'senders' | 'signal'> & { ledger: Ledger },
): Promise<void> {
  const { fleet, scenario, senders, ledger } = options
  const { retry } = scenario.senders
  // The longest pause of a sender, one delivery, and 5 s for a lease or a retry of the server.
  const latestMs = fleet.nowMs() + retry.maxMs * (1 + retry.jitter) + scenario.remoteLatencyMs[1] + 5000
  while (fleet.nowMs() < latestMs && (senders.waiting() > 0 || ledger.underWay() > 0)) await tick(options)
  // The next period has the final figures of the queue.
  const seen = fleet.timeline.at(-1)
  const lastRowMs = fleet.nowMs() + 3 * scenario.periodMs
  while (fleet.timeline.at(-1) === seen && fleet.nowMs() < lastRowMs) await tick(options)
}

function endLast(times: PhaseTime[], atMs: number): void {
  const last = times.at(-1)
  if (last) last.toMs = atMs
}

/** Independent arrivals are a Poisson process. The time between two of them is exponentially distributed. */
function gapMs(perSecond: number, random: Random): number {
  return (-Math.log(1 - random()) * 1000) / perSecond
}

function isSettled({ fleet, scenario }: PhasesOptions): boolean {
  const { minInstances } = scenario.policy
  return fleet.timeline
    .slice(-SETTLED_PERIODS)
    .every(
      ({ desired, inService, pending, terminating }) =>
        desired === minInstances && inService === minInstances && pending + terminating === 0,
    )
}

async function tick({ signal }: Pick<PhasesOptions, 'signal'>): Promise<void> {
  await sleep(TICK_MS, undefined, signal && { signal })
}
