// The course of a storm: new messages phase by phase, and the waiting until the last one has arrived.
// Owns: arrival times (random, seeded) and when a storm is over: the fleet small again, the senders done, everything
// accepted arrived, each within a bound. Rejects only when it is aborted.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Fleet } from '../infra/local/fleet.ts'
import type { PhaseTime } from './report.ts'
import type { Ledger } from './ledger.ts'
import { stormMessage } from './message.ts'
import type { Random } from '../platform/seeded-random.ts'
import { phaseAt, phasesMs, type Scenario } from './scenario.ts'
import type { Senders } from './senders.ts'

/** How long the fleet must have been at its minimum for the storm to be over: the report's reader sees it stay. */
const SETTLED_PERIODS = 3
/** How often arrivals and the end are looked for. */
const TICK_MS = 20

type RunOptions = {
  fleet: Fleet
  scenario: Scenario
  senders: Senders
  random: Random
  onPhase: (name: string) => void
  signal?: AbortSignal
}

/** Sends what the phases say; the last phase goes on until the fleet is at its minimum again, within a bound. */
export async function runPhases(options: RunOptions): Promise<PhaseTime[]> {
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

/** After the last new message: until every sender is done and everything accepted has arrived, within a bound. */
export async function waitUntilDelivered(
  options: Pick<RunOptions, 'fleet' | 'scenario' | 'senders' | 'signal'> & { ledger: Ledger },
): Promise<void> {
  const { fleet, scenario, senders, ledger } = options
  const { retry } = scenario.senders
  // The longest wait of a sender, jitter included, one delivery, and 5 s for a lease or a retry in between.
  const latestMs = fleet.nowMs() + retry.maxMs * (1 + retry.jitter) + scenario.remoteLatencyMs[1] + 5000
  while (fleet.nowMs() < latestMs && (senders.waiting() > 0 || ledger.underWay() > 0)) await tick(options)
  // One more period: the queue's last word.
  const seen = fleet.timeline.at(-1)
  const lastRowMs = fleet.nowMs() + 3 * scenario.periodMs
  while (fleet.timeline.at(-1) === seen && fleet.nowMs() < lastRowMs) await tick(options)
}

function endLast(times: PhaseTime[], atMs: number): void {
  const last = times.at(-1)
  if (last) last.toMs = atMs
}

/** Between two arrivals that know nothing of each other (a Poisson process): exponentially distributed. */
function gapMs(perSecond: number, random: Random): number {
  return (-Math.log(1 - random()) * 1000) / perSecond
}

function isSettled({ fleet, scenario }: RunOptions): boolean {
  const { minInstances } = scenario.policy
  return fleet.timeline
    .slice(-SETTLED_PERIODS)
    .every(
      ({ desired, inService, pending, terminating }) =>
        desired === minInstances && inService === minInstances && pending + terminating === 0,
    )
}

async function tick({ signal }: Pick<RunOptions, 'signal'>): Promise<void> {
  await sleep(TICK_MS, undefined, signal && { signal })
}
