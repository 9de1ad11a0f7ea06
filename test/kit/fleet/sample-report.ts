// A small, invented report for the tests of the report page. It has a gap in the data, and HTML in a text.
import type { StartReport, TimelineRow } from '../../../storm/report.ts'

function row(second: number, changes: Partial<TimelineRow> = {}): TimelineRow {
  return {
    tMs: second * 1000,
    ready: 0,
    inFlight: 2,
    deferred: 0,
    oldestReadySeconds: 0,
    refusedForLoad: 0,
    refusedForFault: 0,
    demand: 2,
    acceptedPerSecond: 10,
    desired: 1,
    inService: 1,
    pending: 0,
    terminating: 0,
    offeredPerSecond: 10,
    newPerSecond: 10,
    forwardedPerSecond: 10,
    delayP50Ms: 250,
    delayP99Ms: 300,
    cpuIdle: 0.8,
    ...changes,
  }
}

export const sampleReport: StartReport = {
  startedAt: '2026-08-17T04:09:00.000Z',
  fleet: {
    maxInstances: 4,
    finalInstances: 1,
    launched: 4,
    crashed: 0,
    capacity: {
      concurrency: 10,
      meanLatencyMs: 250,
      forwardsPerSecond: 40,
      targetBacklog: 100,
      refusedWindowMs: 8000,
    },
  },
  mail: {
    accepted: 12_345,
    forwarded: 12_345,
    duplicates: 0,
    lost: 0,
    queued: 0,
    refused: 678,
    refusedByCode: { 451: 678 },
    rejected: 0,
    resets: 0,
    resetReasons: {},
    givenUp: 0,
    foreign: 0,
    delayMs: { p50: 921, p99: 2579, max: 2911 },
  },
  scaleEvents: [
    { atMs: 2000, from: 1, to: 4, rule: 'surge', reason: 'backlog 300 an instance' },
    { atMs: 2300, from: 4, to: 5, rule: 'target', reason: 'demand <script>alert("1")</script> & more' },
    { atMs: 5000, from: 5, to: 1, rule: 'scale-in', reason: '1 would do' },
  ],
  cpuIdleAtPeak: 0.57,
  cpuUsedAtPeak: 0.38,
  cpus: 2,
  phases: [
    { name: 'normal', perSecond: 15, fromMs: 0, toMs: 1000 },
    { name: 'burst', perSecond: 150, fromMs: 1000, toMs: 3000 },
    { name: 'calm', perSecond: 10, fromMs: 3000, toMs: 6000 },
  ],
  timeline: [
    row(1),
    row(2, { offeredPerSecond: 290, ready: 160, demand: 400, desired: 4 }),
    row(3, {
      ready: null,
      inFlight: null,
      deferred: null,
      demand: null,
      delayP50Ms: null,
      delayP99Ms: null,
      cpuIdle: null,
    }),
    row(4, { desired: 5, inService: 5 }),
    row(5),
  ],
  stormSeconds: 6,
}
