// A storm as data: who sends how much when, how the remote side behaves, and the fleet that is to take it.
// Owns: the scenario's numbers with their arithmetic, and what follows from them: the server's configuration, the
// routes and the scaling policy. Pure. Time is compressed: what a real sender does in minutes takes seconds here, the
// control loop's periods, windows and cool-downs are shorter by the same reason.
import * as v from 'valibot'
import { scalingPolicySchema, type ScalingPolicy } from '../infra/scaling/policy.ts'
import type { ServerConfig } from '../infra/local/fleet-files.ts'

export type Phase = { name: string; seconds: number; perSecond: number }

export type Scenario = {
  seed: number
  /** One after the other; the last one goes on until the fleet is small again, at most `settleSeconds` longer. */
  phases: readonly Phase[]
  /** The phase over which the processors' idleness is averaged. */
  peakPhase: string
  settleSeconds: number
  messageBytes: readonly [number, number]
  /** From the end of a message to the sink's 250, evenly spread. */
  remoteLatencyMs: readonly [number, number]
  /** Deliveries an instance runs at once. */
  concurrency: number
  /** Ready backlog at which the server refuses with 451. */
  readyEntries: number
  senders: {
    count: number
    /** Sessions a sender has at once. */
    connections: number
    /** Share of senders that keep a session open for the next message; the others open one for each. */
    keepOpenShare: number
    /** An open session without a message is ended after so long. */
    idleMs: number
    /** Wait before the second attempt, then doubling up to the maximum, each longer or shorter by `jitter`. */
    retry: { firstMs: number; maxMs: number; jitter: number }
  }
  periodMs: number
  policy: ScalingPolicy
}

const CONCURRENCY = 10
const LATENCY_MS = [200, 300] as const
const MEAN_LATENCY_MS = (LATENCY_MS[0] + LATENCY_MS[1]) / 2

/**
 * The storm of `npm start`. One instance forwards 10 ÷ 0.25 s = 40 messages/s; the burst brings 150/s of new mail
 * for 20 s and, as long as the fleet is too small for it, its retries on top. 4 instances (160/s) just keep up, the
 * fifth works the backlog off. The remote side's latency is the limit, not this machine's processors, and so
 * instances add capacity even on one machine.
 */
export const stormScenario: Scenario = {
  seed: 20260817,
  phases: [
    { name: 'normal', seconds: 8, perSecond: 15 },
    { name: 'burst', seconds: 20, perSecond: 150 },
    { name: 'calm', seconds: 8, perSecond: 10 },
  ],
  peakPhase: 'burst',
  settleSeconds: 50,
  messageBytes: [2048, 8192],
  remoteLatencyMs: LATENCY_MS,
  concurrency: CONCURRENCY,
  // 160 ÷ 40/s is 4 s of one instance's work: the burst passes it in 160 ÷ (150/s - 40/s) = 1.5 s.
  readyEntries: 160,
  senders: {
    count: 24,
    connections: 4,
    keepOpenShare: 0.6,
    idleMs: 2500,
    // Postfix retries after 300 s, at most 4000 s; the same shape in 1/300 of the time.
    retry: { firstMs: 1000, maxMs: 8000, jitter: 0.5 },
  },
  periodMs: 1000,
  policy: v.parse(scalingPolicySchema, {
    minInstances: 1,
    maxInstances: 5,
    // 2.5 s ÷ (250 ms ÷ 10) = 100 messages an instance.
    acceptableDelayMs: 2500,
    deliveryMs: MEAN_LATENCY_MS,
    concurrency: CONCURRENCY,
    // 60 s compressed like the senders' patience; a refused message that has come back is counted where it then is.
    refusedWindowMs: 8000,
    warmupMs: 1000,
    // Reached when a period ends with more than 1.2 targets: proportional steps would run behind.
    surge: { targets: 1.2, step: 3 },
    scaleIn: { fraction: 0.5, periods: 4, step: 1, cooldownMs: 4000 },
  }),
}

/** The same storm, a third as long: for a test. */
export const shortScenario: Scenario = {
  ...stormScenario,
  phases: [
    { name: 'normal', seconds: 3, perSecond: 15 },
    { name: 'burst', seconds: 8, perSecond: 150 },
    { name: 'calm', seconds: 3, perSecond: 10 },
  ],
  settleSeconds: 40,
  policy: {
    ...stormScenario.policy,
    refusedWindowMs: 4000,
    scaleIn: { fraction: 0.5, periods: 2, step: 1, cooldownMs: 2000 },
  },
}

export const STORM_DOMAIN = 'storm.example'
/** Carries a message's id through the fleet. */
export const STORM_ID_HEADER = 'X-Storm-Id'

/**
 * What the server of this scenario is told, apart from what the fleet decides.
 * @param volatile the spool is on a tmpfs, which the server refuses unless it is told that this is meant
 */
export function stormServerConfig(scenario: Scenario, sinkPort: number, volatile: boolean): ServerConfig {
  return {
    hostname: 'mx1.storm.example',
    postmaster: 'postmaster@remote.example',
    queue: { volatile },
    srs: { domain: 'srs.bounces.example', secrets: ['a-secret-of-a-fleet-that-lives-for-one-storm'] },
    limits: { readyEntries: scenario.readyEntries },
    delivery: { concurrency: scenario.concurrency, relay: { host: '127.0.0.1', port: sinkPort } },
    // A delivery that fails against the sink is to be seen within the storm, not an hour later.
    retry: { firstMs: 1000, maxMs: 4000 },
    drain: { timeoutMs: 10_000 },
  }
}

/** One route for all: whatever the alias, the mailbox behind it is at the sink. */
export function stormRoutes(): unknown {
  return { domains: { [STORM_DOMAIN]: { aliases: { '*': ['mailbox@remote.example'] } } } }
}

/** Length of the phases without the settling, in ms. */
export function phasesMs({ phases }: Pick<Scenario, 'phases'>): number {
  return phases.reduce((sum, { seconds }) => sum + seconds * 1000, 0)
}

/** The phase at `atMs` from the storm's start; after the last one's end the last one. */
export function phaseAt(phases: readonly Phase[], atMs: number): Phase | undefined {
  let endMs = 0
  for (const phase of phases) {
    endMs += phase.seconds * 1000
    if (atMs < endMs) return phase
  }
  return phases.at(-1)
}
