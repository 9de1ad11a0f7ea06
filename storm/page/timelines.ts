// The time lines of a storm: load, backlog, instances, delay and processors, one under the other.
// Owns: which series are shown, how they are named, and the numbered marks of the scale events.
import type { PhaseTime, StormReport, TimelineRow } from '../report.ts'
import { area, chart, line, stepped, type Plot, type Point } from './chart.ts'
import { clock, coordinate, duration, escapeHtml, percent, whole } from './format.ts'

type Key = { className: string; label: string }

type Timeline = {
  id: string
  title: string
  unit: string
  keys: Key[]
  svg: string
}

/** Two marks closer than this, in chart units, go onto different levels. */
const MARK_GAP = 22

/** All charts of the report as one section of HTML. */
export function timelines(report: StormReport): string {
  const { timeline } = report
  const endMs = Math.max(1000, timeline.at(-1)?.tMs ?? 0)
  const figures = [load, backlog, instances, delay, processors].map((build) => build(report, endMs))
  return figures.map(figure).join('\n')
}

function figure({ id, title, unit, keys, svg }: Timeline): string {
  const legend = keys
    .map(({ className, label }) => `<li><i class="key ${className}"></i>${escapeHtml(label)}</li>`)
    .join('')
  const caption = `<h3 id="${id}-title">${escapeHtml(title)} <small>${escapeHtml(unit)}</small></h3>`
  return `<figure><figcaption>${caption}<ul class="legend">${legend}</ul></figcaption><div class="scroll">${svg}</div></figure>`
}

function load(report: StormReport, endMs: number): Timeline {
  const { timeline } = report
  const offered = series(timeline, ({ offeredPerSecond }) => offeredPerSecond)
  const fresh = series(timeline, ({ newPerSecond }) => newPerSecond)
  const accepted = series(timeline, ({ acceptedPerSecond }) => acceptedPerSecond)
  const forwarded = series(timeline, ({ forwardedPerSecond }) => forwardedPerSecond)
  return {
    id: 'load',
    title: 'Load',
    unit: 'messages per second',
    keys: [
      { className: 'fill-new', label: 'new mail' },
      { className: 'fill-retry', label: 'retries after a 4xx' },
      { className: 'accepted', label: 'accepted (250)' },
      { className: 'forwarded', label: 'forwarded' },
    ],
    svg: chart({
      id: 'load',
      description: `Offered load rises to ${whole(most(offered))} messages a second, retries included; accepted reaches ${whole(most(accepted))}, forwarded ${whole(most(forwarded))}.`,
      height: 190,
      endMs,
      // Room for the names of the phases.
      yMax: most(offered) * 1.15,
      formatY: whole,
      backdrop: (plot) => phases(plot, report) + eventLines(plot, report),
      marks: (plot) =>
        area(plot, fresh, null, 'fill-new') +
        area(plot, offered, fresh, 'fill-retry') +
        line(plot, accepted, 'accepted') +
        line(plot, forwarded, 'forwarded') +
        phaseNames(plot, report) +
        hints(plot, timeline, endMs, (row) => [
          `new ${whole(row.newPerSecond)}/s, with retries ${whole(row.offeredPerSecond)}/s`,
          `accepted ${whole(row.acceptedPerSecond)}/s, forwarded ${whole(row.forwardedPerSecond)}/s`,
        ]),
    }),
  }
}

function backlog(report: StormReport, endMs: number): Timeline {
  const { timeline, fleet } = report
  const ready = series(timeline, (row) => row.ready)
  const working = series(timeline, (row) =>
    row.ready !== null && row.inFlight !== null ? row.ready + row.inFlight : null,
  )
  const demand = series(timeline, (row) => row.demand)
  const room = series(timeline, (row) => row.inService * fleet.capacity.targetBacklog)
  return {
    id: 'backlog',
    title: 'Demand',
    unit: 'messages',
    keys: [
      { className: 'fill-ready', label: 'ready backlog' },
      { className: 'fill-flight', label: 'in flight' },
      {
        className: 'fill-refused',
        label: `refused for load in the last ${whole(fleet.capacity.refusedWindowMs / 1000)} s`,
      },
      { className: 'room', label: `instances in service × target of ${whole(fleet.capacity.targetBacklog)}` },
    ],
    svg: chart({
      id: 'backlog',
      description: `Demand rises to ${whole(most(demand))} messages; the ready backlog in it to ${whole(most(ready))}. At the end it is ${whole(demand.at(-1)?.value ?? 0)}.`,
      height: 210,
      endMs,
      yMax: Math.max(most(demand), most(room)),
      formatY: whole,
      backdrop: (plot) => phases(plot, report) + eventLines(plot, report),
      marks: (plot) =>
        area(plot, ready, null, 'fill-ready') +
        area(plot, working, ready, 'fill-flight') +
        area(plot, demand, working, 'fill-refused') +
        line(plot, stepped(room, endMs), 'room') +
        hints(plot, timeline, endMs, (row) => [
          `demand ${figureOf(row.demand)}: ready ${figureOf(row.ready)}, in flight ${figureOf(row.inFlight)}, refused ${whole(row.refusedForLoad)}`,
          `deferred ${figureOf(row.deferred)} (not owed yet)`,
        ]),
    }),
  }
}

function instances(report: StormReport, endMs: number): Timeline {
  const { timeline, scaleEvents } = report
  const inService = stepped(
    series(timeline, (row) => row.inService),
    endMs,
  )
  const desired = stepped(
    series(timeline, (row) => row.desired),
    endMs,
  )
  const top = Math.max(most(desired), most(inService))
  return {
    id: 'instances',
    title: 'Instances',
    unit: 'number; the numbered marks are the scale events below',
    keys: [
      { className: 'fill-service', label: 'in service' },
      { className: 'desired', label: 'desired' },
    ],
    svg: chart({
      id: 'instances',
      description: `The fleet goes from ${timeline[0]?.inService ?? 0} to ${most(inService)} instances in service and ends with ${timeline.at(-1)?.inService ?? 0}, in ${scaleEvents.length} steps.`,
      height: 190,
      endMs,
      // Room for the marks above the highest step.
      yMax: top + 1.4,
      yTicks: 7,
      wholeTicks: true,
      formatY: (value) => (value > top ? '' : whole(value)),
      backdrop: (plot) => phases(plot, report) + eventLines(plot, report),
      marks: (plot) =>
        area(plot, inService, null, 'fill-service') +
        line(plot, inService, 'service') +
        line(plot, desired, 'desired') +
        hints(plot, timeline, endMs, (row) => [
          `desired ${row.desired}, in service ${row.inService}, launching ${row.pending}, draining ${row.terminating}`,
        ]) +
        eventMarks(plot, report),
    }),
  }
}

function delay(report: StormReport, endMs: number): Timeline {
  const { timeline } = report
  const p50 = series(timeline, ({ delayP50Ms }) => delayP50Ms)
  const p99 = series(timeline, ({ delayP99Ms }) => delayP99Ms)
  return {
    id: 'delay',
    title: 'Delay',
    unit: 'from the fleet’s 250 to the remote host’s 250',
    keys: [
      { className: 'p99', label: 'p99' },
      { className: 'p50', label: 'p50' },
    ],
    svg: chart({
      id: 'delay',
      description: `The 99th percentile of the delay rises to ${duration(most(p99))}, the median to ${duration(most(p50))}.`,
      height: 190,
      endMs,
      yMax: most(p99),
      formatY: (value) => (value === 0 ? '0' : `${Number((value / 1000).toFixed(2))} s`),
      backdrop: (plot) => phases(plot, report) + eventLines(plot, report),
      marks: (plot) =>
        area(plot, p99, p50, 'fill-delay') +
        line(plot, p99, 'p99') +
        line(plot, p50, 'p50') +
        hints(plot, timeline, endMs, (row) => [
          `p50 ${duration(row.delayP50Ms)}, p99 ${duration(row.delayP99Ms)}`,
        ]),
    }),
  }
}

function processors(report: StormReport, endMs: number): Timeline {
  const { timeline, cpus } = report
  const idle = series(timeline, ({ cpuIdle }) => cpuIdle)
  return {
    id: 'processors',
    title: 'Processors idle',
    unit: `share of ${cpus} processors, senders and sink included`,
    keys: [{ className: 'idle', label: 'idle' }],
    svg: chart({
      id: 'processors',
      description: `The machine’s processors are ${percent(report.cpuIdleAtPeak)} idle on average over the burst.`,
      height: 120,
      endMs,
      yMax: 1,
      yTicks: 2,
      formatY: percent,
      backdrop: (plot) => phases(plot, report) + eventLines(plot, report),
      marks: (plot) =>
        area(plot, idle, null, 'fill-idle') +
        line(plot, idle, 'idle') +
        hints(plot, timeline, endMs, (row) => [`${percent(row.cpuIdle)} idle`]),
    }),
  }
}

/** The phases as bands; the strongest is tinted. */
function phases({ x, top, bottom }: Plot, report: StormReport): string {
  return report.phases
    .map((phase) => {
      const [from, to] = [x(phase.fromMs), x(phase.toMs)]
      const place = `x="${coordinate(from)}" y="${top}" width="${coordinate(to - from)}" height="${bottom - top}"`
      return `<rect class="phase${strength(phase, report)}" ${place}/>`
    })
    .join('')
}

function phaseNames({ x, top }: Plot, report: StormReport): string {
  return report.phases
    .map((phase) => {
      const place = `x="${coordinate(x(phase.fromMs) + 6)}" y="${top + 13}"`
      const name = `${escapeHtml(phase.name)} ${whole(phase.perSecond)}/s`
      return `<text class="phase-name${strength(phase, report)}" ${place}>${name}</text>`
    })
    .join('')
}

function strength({ perSecond }: PhaseTime, { phases }: StormReport): string {
  return phases.every((phase) => phase.perSecond <= perSecond) ? ' peak' : ''
}

function eventLines({ x, top, bottom }: Plot, { scaleEvents }: StormReport): string {
  return scaleEvents
    .map(
      ({ atMs, from, to }) =>
        `<line class="event ${to > from ? 'out' : 'in'}" x1="${coordinate(x(atMs))}" x2="${coordinate(x(atMs))}" y1="${top}" y2="${bottom}"/>`,
    )
    .join('')
}

/** Numbered marks at the top; those that would overlap alternate between two levels. */
function eventMarks({ x, top }: Plot, { scaleEvents }: StormReport): string {
  let level = 0
  let last = -Infinity
  return scaleEvents
    .map(({ atMs, from, to, reason }, index) => {
      const at = x(atMs)
      level = at - last < MARK_GAP ? 1 - level : 0
      last = at
      const y = top + 10 + level * 19
      const title = `<title>${escapeHtml(`${clock(atMs)} s: ${from} → ${to}, ${reason}`)}</title>`
      return `<g class="mark ${to > from ? 'out' : 'in'}">${title}<circle cx="${coordinate(at)}" cy="${y}" r="8.5"/><text x="${coordinate(at)}" y="${y}" dy="0.35em" text-anchor="middle">${index + 1}</text></g>`
    })
    .join('')
}

/** Invisible columns, one a period, that say the figures when pointed at. */
function hints(
  { x, top, bottom }: Plot,
  timeline: readonly TimelineRow[],
  endMs: number,
  text: (row: TimelineRow) => string[],
): string {
  return timeline
    .map((row, index) => {
      const fromMs = timeline[index - 1]?.tMs ?? 0
      const title = escapeHtml([`${clock(row.tMs)} s`, ...text(row)].join('\n'))
      const width = x(Math.min(endMs, row.tMs)) - x(fromMs)
      return `<rect class="hint" x="${coordinate(x(fromMs))}" y="${top}" width="${coordinate(width)}" height="${bottom - top}"><title>${title}</title></rect>`
    })
    .join('')
}

function series(timeline: readonly TimelineRow[], value: (row: TimelineRow) => number | null): Point[] {
  return timeline.map((row) => ({ atMs: row.tMs, value: value(row) }))
}

function most(points: readonly Point[]): number {
  return points.reduce((highest, { value }) => Math.max(highest, value ?? 0), 0)
}

function figureOf(value: number | null): string {
  return value === null ? '–' : whole(value)
}
