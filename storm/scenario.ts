// The scenarios of a storm as data: load, senders, sink and fleet, each number with its arithmetic. Pure.
// Also makes the server's configuration and the routes for a scenario.
// Time is compressed: senders retry after seconds instead of minutes, and the scaling policy's times are shorter too.
import * as v from 'valibot'
import { scalingPolicySchema, type ScalingPolicy } from '../infra/scaling/policy.ts'
import type { ServerConfig } from '../infra/local/fleet-files.ts'

export type Phase = { name: string; seconds: number; perSecond: number }

export type Scenario = {
  seed: number
  /** In this order. The last one lasts until the fleet is at its minimum, at most `settleSeconds` longer. */
  phases: readonly Phase[]
  /** The report gives the processors' average use over this phase. */
  peakPhase: string
  settleSeconds: number
  messageBytes: readonly [number, number]
  /** From the end of a message to the sink's 250, uniformly distributed. */
  remoteLatencyMs: readonly [number, number]
  /** Deliveries in progress per instance. */
  concurrency: number
  /** Ready backlog at which the server refuses with 451. */
  readyEntries: number
  senders: {
    count: number
    /** Sessions per sender at a time. */
    connections: number
    /** Share of senders that keep a session open for the next message. The others open one per message. */
    keepOpenShare: number
    /** A sender ends a session that had no message for so long. */
    idleMs: number
    /** The pause before the second attempt, doubled each time up to the maximum, and changed by up to `jitter`. */
    retry: { firstMs: number; maxMs: number; jitter: number }
  }
  periodMs: number
  policy: ScalingPolicy
}

const CONCURRENCY = 10
const LATENCY_MS = [200, 300] as const
const MEAN_LATENCY_MS = (LATENCY_MS[0] + LATENCY_MS[1]) / 2

/**
 * The storm of `npm start`. One instance forwards 10 ÷ 0.25 s = 40 messages/s. The burst sends 150/s of new mail for
 * 20 s. While the fleet is too small, retries come on top. 4 instances (160/s) keep up, and the fifth drains the
 * backlog. The sink's latency is the limit, not the processors, so more instances add capacity even on one machine.
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
  // 160 ÷ 40/s is 4 s of work for one instance. The burst exceeds it after 160 ÷ (150/s - 40/s) = 1.5 s.
  readyEntries: 160,
  senders: {
    count: 24,
    connections: 4,
    keepOpenShare: 0.6,
    idleMs: 2500,
    // Postfix first retries after 300 s, and waits at most 4000 s. This is the same shape in 1/300 of the time.
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
    // 60 s, compressed like the senders' pauses. A refused message counts once in this window.
    refusedWindowMs: 8000,
    warmupMs: 1000,
    // A period that ends with more than 1.2 targets is a surge, for which proportional steps are too slow.
    surge: { targets: 1.2, step: 3 },
    scaleIn: { fraction: 0.5, periods: 4, step: 1, cooldownMs: 4000 },
  }),
}

/** The same storm with shorter phases, for tests. */
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
/** Carries the id of a message through the fleet. */
export const STORM_ID_HEADER = 'X-Storm-Id'

/**
 * The server's configuration, without the parts that the fleet sets.
 * @param volatile the spool is on a tmpfs. Without this the server refuses to start on a tmpfs.
 */
export function stormServerConfig(scenario: Scenario, sinkPort: number, volatile: boolean): ServerConfig {
  return {
    hostname: 'mx1.storm.example',
    postmaster: 'postmaster@remote.example',
    queue: { volatile },
    srs: { domain: 'srs.bounces.example', secrets: ['a-secret-of-a-fleet-that-lives-for-one-storm'] },
    limits: { readyEntries: scenario.readyEntries },
    delivery: { concurrency: scenario.concurrency, relay: { host: '127.0.0.1', port: sinkPort } },
    // So that the server retries a failed delivery within the storm.
    retry: { firstMs: 1000, maxMs: 4000 },
    drain: { timeoutMs: 10_000 },
  }
}

/** Forwards every alias to one mailbox at the sink. */
export function stormRoutes(): unknown {
  return { domains: { [STORM_DOMAIN]: { aliases: { '*': ['mailbox@remote.example'] } } } }
}

/** Without the time that the last phase lasts longer. */
export function phasesMs({ phases }: Pick<Scenario, 'phases'>): number {
  return phases.reduce((sum, { seconds }) => sum + seconds * 1000, 0)
}

/** The phase at `atMs` from the start of the storm. After the end of the last phase, the last one. */
export function phaseAt(phases: readonly Phase[], atMs: number): Phase | undefined {
  let endMs = 0
  for (const phase of phases) {
    endMs += phase.seconds * 1000
    if (atMs < endMs) return phase
  }
  return phases.at(-1)
}
