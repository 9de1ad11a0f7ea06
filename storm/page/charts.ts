// The charts of a report: load, demand, instances, delay and processors.
// Owns which series each chart shows, and the titles and descriptions in the HTML. Pure: browser/draw-charts.ts draws.
import type { PhaseTime, StormReport, TimelineRow } from '../report.ts'
import type { ChartPage, ChartSeries, ChartSpec } from './chart-spec.ts'
import {
  formatSeconds,
  formatDuration,
  escapeHtml,
  formatOptionalCount,
  formatPercent,
  formatCount,
} from './format.ts'

type Chart = {
  spec: ChartSpec
  title: string
  /** What the axis counts. */
  subtitle: string
  /** What the chart shows, for readers who do not see it. */
  description: string
}

type Value = number | null

const defaults = { unit: '', wholeTicks: false, showPhaseNames: false, showEventNumbers: false } as const

/** One figure per chart, with an empty element for the script to draw into. */
export function chartFigures(report: StormReport): string {
  return chartsOf(report)
    .map(
      ({ spec: { id }, title, subtitle, description }) => `<figure>
<figcaption><h3 id="${id}-title">${escapeHtml(title)} <small>${escapeHtml(subtitle)}</small></h3>
<p id="${id}-description">${escapeHtml(description)}</p></figcaption>
<div class="chart" id="${id}-chart"></div>
</figure>`,
    )
    .join('\n')
}

/** What the script needs to draw the charts. */
export function chartPage(report: StormReport): ChartPage {
  const { timeline, phases, scaleEvents } = report
  const endsMs = [
    ...timeline.map(({ tMs }) => tMs),
    ...phases.map(({ toMs }) => toMs),
    ...scaleEvents.map(({ atMs }) => atMs),
  ]
  return {
    endSeconds: Math.max(1000, ...endsMs) / 1000,
    moments: timeline.map(({ tMs }) => tMs / 1000),
    phases: phases.map((phase) => ({
      label: `${phase.name} ${formatCount(phase.perSecond)}/s`,
      fromSeconds: phase.fromMs / 1000,
      toSeconds: phase.toMs / 1000,
      isPeak: isPeak(phase, phases),
    })),
    events: scaleEvents.map(({ atMs, from, to, reason }) => ({
      atSeconds: atMs / 1000,
      direction: to > from ? 'out' : 'in',
      text: `${formatSeconds(atMs)} s, ${from} → ${to} instances, ${reason}`,
    })),
    charts: chartsOf(report).map(({ spec }) => spec),
  }
}

function chartsOf(report: StormReport): Chart[] {
  return [loadChart, demandChart, instancesChart, delayChart, processorsChart].map((build) => build(report))
}

function loadChart({ timeline }: StormReport): Chart {
  const fresh = seriesOf(timeline, (row) => row.newPerSecond, formatCount)
  const offered = seriesOf(timeline, (row) => row.offeredPerSecond, formatCount)
  const retries = timeline.map((row) => formatCount(Math.max(0, row.offeredPerSecond - row.newPerSecond)))
  const accepted = seriesOf(timeline, (row) => row.acceptedPerSecond, formatCount)
  const forwarded = seriesOf(timeline, (row) => row.forwardedPerSecond, formatCount)
  return {
    title: 'Load',
    subtitle: 'messages per second',
    description: `The senders offer up to ${formatCount(most(offered))} messages per second, retries included. The fleet accepts up to ${formatCount(most(accepted))} and forwards up to ${formatCount(most(forwarded))} per second.`,
    spec: {
      ...defaults,
      id: 'load',
      heightPx: 190,
      // Room for the names of the phases.
      yMax: Math.max(1, most(offered) * 1.15),
      showPhaseNames: true,
      series: [
        { ...fresh, label: 'new mail', area: 'new' },
        { ...offered, label: 'retries after a 4xx', area: 'retry', above: 0, texts: retries },
        { ...accepted, label: 'accepted (250)', line: 'accepted' },
        { ...forwarded, label: 'forwarded', line: 'forwarded', dashed: true },
      ],
    },
  }
}

function demandChart({ timeline, fleet }: StormReport): Chart {
  const { targetBacklog, refusedWindowMs } = fleet.capacity
  const ready = seriesOf(timeline, (row) => row.ready, formatCount)
  const working = seriesOf(
    timeline,
    ({ ready, inFlight }) => (ready === null || inFlight === null ? null : ready + inFlight),
    formatCount,
  )
  const demand = seriesOf(timeline, (row) => row.demand, formatCount)
  const room = seriesOf(timeline, (row) => row.inService * targetBacklog, formatCount)
  return {
    title: 'Demand',
    subtitle: 'messages',
    description: `Demand rises to ${formatCount(most(demand))} messages. The ready backlog, a part of it, rises to ${formatCount(most(ready))}. Demand at the end is ${formatOptionalCount(demand.values.at(-1) ?? null)}.`,
    spec: {
      ...defaults,
      id: 'demand',
      heightPx: 210,
      yMax: Math.max(1, most(demand), most(room)) * 1.05,
      series: [
        { ...ready, label: 'ready backlog', area: 'ready' },
        {
          ...working,
          label: 'in flight',
          area: 'flight',
          above: 0,
          texts: timeline.map((row) => formatOptionalCount(row.inFlight)),
        },
        {
          ...demand,
          label: `refused for load in the last ${formatCount(refusedWindowMs / 1000)} s`,
          area: 'refused',
          above: 1,
          texts: timeline.map((row) => formatCount(row.refusedForLoad)),
        },
        {
          ...room,
          label: `instances in service × target of ${formatCount(targetBacklog)}`,
          line: 'room',
          dashed: true,
          stepped: true,
        },
      ],
    },
  }
}

function instancesChart({ timeline, scaleEvents }: StormReport): Chart {
  const inService = seriesOf(timeline, (row) => row.inService, formatCount)
  const desired = seriesOf(timeline, (row) => row.desired, formatCount)
  return {
    title: 'Instances',
    subtitle: 'the numbers in circles are the scale events below',
    description: `The number of instances in service starts at ${timeline[0]?.inService ?? 0}, rises to ${most(inService)} and ends at ${timeline.at(-1)?.inService ?? 0}. Number of scale events: ${scaleEvents.length}.`,
    spec: {
      ...defaults,
      id: 'instances',
      heightPx: 190,
      // Room for the numbers of the scale events.
      yMax: Math.max(most(desired), most(inService)) + 1.6,
      wholeTicks: true,
      showEventNumbers: true,
      series: [
        { ...inService, label: 'in service', line: 'service', area: 'service-fill', stepped: true },
        { ...desired, label: 'desired', line: 'desired', dashed: true, stepped: true },
      ],
    },
  }
}

function delayChart({ timeline }: StormReport): Chart {
  const p99 = seriesOf(timeline, (row) => row.delayP99Ms, formatDuration)
  const p50 = seriesOf(timeline, (row) => row.delayP50Ms, formatDuration)
  return {
    title: 'Delay',
    subtitle: 'from the fleet’s 250 to the remote host’s 250',
    description: `The 99th percentile of the delay rises to ${formatDuration(most(p99))}, the median to ${formatDuration(most(p50))}.`,
    spec: {
      ...defaults,
      id: 'delay',
      heightPx: 190,
      yMax: Math.max(1, most(p99) * 1.1) / 1000,
      unit: ' s',
      series: [
        { ...p99, values: scaled(p99, 1 / 1000), label: 'p99', line: 'p99', area: 'delay-fill', above: 1 },
        { ...p50, values: scaled(p50, 1 / 1000), label: 'p50', line: 'p50', dashed: true },
      ],
    },
  }
}

function processorsChart({ timeline, cpus, cpuIdleAtPeak }: StormReport): Chart {
  const idle = seriesOf(timeline, (row) => row.cpuIdle, formatPercent)
  return {
    title: 'Idle processors',
    subtitle: `share of ${cpus} processors; the senders and the sink run on them too`,
    description: `The processors are ${formatPercent(cpuIdleAtPeak)} idle on average over the burst.`,
    spec: {
      ...defaults,
      id: 'processors',
      heightPx: 120,
      yMax: 100,
      unit: ' %',
      series: [{ ...idle, values: scaled(idle, 100), label: 'idle', line: 'idle', area: 'idle-fill' }],
    },
  }
}

type SeriesValues = Pick<ChartSeries, 'values' | 'texts'>

function seriesOf(
  timeline: readonly TimelineRow[],
  valueOf: (row: TimelineRow) => Value,
  textOf: (value: number) => string,
): SeriesValues {
  const values = timeline.map(valueOf)
  return { values, texts: values.map((value) => (value === null ? '–' : textOf(value))) }
}

function scaled({ values }: SeriesValues, factor: number): Value[] {
  return values.map((value) => (value === null ? null : value * factor))
}

function most({ values }: SeriesValues): number {
  return values.reduce<number>((highest, value) => Math.max(highest, value ?? 0), 0)
}

function isPeak({ perSecond }: PhaseTime, phases: readonly PhaseTime[]): boolean {
  return phases.every((phase) => phase.perSecond <= perSecond)
}
