// The report of a run as one HTML page: summary, figures, charts and tables.
// The page loads nothing. Without its script only the charts are missing.
// Fails only when the script of the charts does not build.
import { chartFigures, chartPage } from './charts.ts'
import { chartScript, chartStyle, jsonForScript } from './chart-script.ts'
import {
  formatSeconds,
  formatDuration,
  escapeHtml,
  formatMegabytes,
  formatOptionalCount,
  formatPercent,
  formatCount,
} from './format.ts'
import { pageStyle } from './style.ts'
import type { StartReport, TimelineRow } from '../report.ts'

type Tile = { name: string; figure: string; note: string }

/** Leaves out the parts that `report` lacks (image, boot). */
export function renderStartPage(report: StartReport): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>mailfleet: a retry storm on the embedded fleet</title>
<style>
${chartStyle()}
${pageStyle}
</style>
</head>
<body>
<main>
${head(report)}
<dl class="tiles">
${tiles(report).map(tile).join('\n')}
</dl>
<h2>Charts</h2>
<noscript><p>The charts need a script. The tables below hold the same figures.</p></noscript>
<p id="chart-keys" hidden>Point at a chart to read the values of a moment in all charts. Or select a chart with the Tab key, and move with the arrow keys, Home and End.</p>
${chartFigures(report)}
<p id="chart-values" class="visually-hidden" aria-live="polite"></p>
<h2>Scale events</h2>
${scaleEvents(report)}
<h2>All figures over time</h2>
${timelineTable(report.timeline)}
${foot(report)}
</main>
<script type="application/json" id="chart-data">${jsonForScript(chartPage(report))}</script>
<script>
${chartScript()}
</script>
</body>
</html>
`
}

function head(report: StartReport): string {
  const { fleet, mail, phases } = report
  const peak = phases.reduce((highest, phase) => (phase.perSecond > highest.perSecond ? phase : highest), {
    name: 'load',
    perSecond: 0,
    fromMs: 0,
    toMs: 0,
  })
  const times = (peak.perSecond / fleet.capacity.forwardsPerSecond).toFixed(1)
  const story =
    `For ${Math.round((peak.toMs - peak.fromMs) / 1000)} s the senders sent ${formatCount(peak.perSecond)} new messages per second, ` +
    `${times} times the rate of one instance. One instance forwards ${formatCount(fleet.capacity.forwardsPerSecond)} per second: ` +
    `${fleet.capacity.concurrency} deliveries at once, ${formatDuration(fleet.capacity.meanLatencyMs)} each. ` +
    `The senders retried each refused message. The fleet grew to ${fleet.maxInstances} instances ` +
    `and ended with ${fleet.finalInstances}. ${formatCount(mail.forwarded)} of ${formatCount(mail.accepted)} accepted messages reached the remote host.`
  const checks = [
    {
      good: mail.lost === 0,
      text:
        mail.lost === 0
          ? 'no accepted message was lost'
          : `${formatCount(mail.lost)} accepted messages were lost`,
    },
    {
      good: mail.resets === 0,
      text:
        mail.resets === 0 ? 'no connection was reset' : `${formatCount(mail.resets)} connections were reset`,
    },
    scaledCheck(report),
    ...(report.boot
      ? [
          {
            good: report.boot.networkCut,
            text: report.boot.networkCut ? 'booted with the network cut' : 'the network was not cut at boot',
          },
        ]
      : []),
  ]
  return `<header>
<p class="when">mailfleet · <time datetime="${escapeHtml(report.startedAt)}">${escapeHtml(readableTime(report.startedAt))}</time></p>
<h1>A retry storm on the embedded fleet</h1>
<p>${escapeHtml(story)}</p>
<ul class="checks">${checks.map(({ good, text }) => `<li class="${good ? 'good' : 'bad'}">${good ? '✓' : '✗'} ${escapeHtml(text)}</li>`).join('')}</ul>
</header>`
}

function scaledCheck({ fleet, scaleEvents }: StartReport): { good: boolean; text: string } {
  const out = scaleEvents.some(({ from, to }) => to > from)
  const back = scaleEvents.some(({ from, to }) => to < from) && fleet.finalInstances < fleet.maxInstances
  if (out && back) return { good: true, text: 'the fleet scaled out and in' }
  return { good: false, text: out ? 'the fleet did not scale in' : 'the fleet did not scale out' }
}

function tiles({
  mail,
  fleet,
  cpuIdleAtPeak,
  cpuUsedAtPeak,
  cpus,
  image,
  boot,
  seconds,
  stormSeconds,
}: StartReport): Tile[] {
  const all: (Tile | undefined)[] = [
    { name: 'Accepted', figure: formatCount(mail.accepted), note: 'messages with a 250' },
    {
      name: 'Forwarded',
      figure: formatCount(mail.forwarded),
      note: `${formatCount(mail.duplicates)} duplicates`,
    },
    { name: 'Lost', figure: formatCount(mail.lost), note: `${formatCount(mail.queued)} still queued` },
    { name: 'Connections reset', figure: formatCount(mail.resets), note: 'seen by the senders' },
    {
      name: 'Refused',
      figure: formatCount(mail.refused),
      note: `4xx replies; ${formatCount(mail.givenUp)} messages never accepted`,
    },
    { name: 'Delay, median', figure: formatDuration(mail.delayMs.p50), note: 'from 250 to arrival' },
    {
      name: 'Delay, p99',
      figure: formatDuration(mail.delayMs.p99),
      note: `longest ${formatDuration(mail.delayMs.max)}`,
    },
    {
      name: 'Instances',
      figure: `${fleet.maxInstances} → ${fleet.finalInstances}`,
      note: `highest → last; ${formatCount(fleet.crashed)} crashed`,
    },
    {
      name: 'Idle processors',
      figure: formatPercent(cpuIdleAtPeak),
      note: `of ${cpus}, in the burst; the storm used ${formatPercent(cpuUsedAtPeak)}`,
    },
    image && {
      name: 'Image',
      figure: formatMegabytes(image.bytes),
      note: image.cached ? 'from the cache' : 'baked in this run',
    },
    boot && {
      name: 'First forward',
      figure: `${boot.secondsToFirstForward.toFixed(1)} s`,
      note: `after launch, ${boot.accel.toUpperCase()}; read ${formatMegabytes(boot.bytesRead)}`,
    },
    {
      name: 'Run',
      figure: `${formatCount(seconds ?? stormSeconds)} s`,
      note: seconds === undefined ? 'the storm' : `of it ${formatCount(stormSeconds)} s for the storm`,
    },
  ]
  return all.filter((each) => each !== undefined)
}

function tile({ name, figure, note }: Tile): string {
  return `<div class="tile"><dt>${escapeHtml(name)}</dt><dd class="figure">${escapeHtml(figure)}</dd><dd class="note">${escapeHtml(note)}</dd></div>`
}

function scaleEvents({ scaleEvents }: StartReport): string {
  const rows = scaleEvents.map(({ atMs, from, to, rule, reason }, index) => {
    const direction = to > from ? 'out' : 'in'
    return `<tr><th scope="row" class="number">${index + 1}</th><td class="number">${formatSeconds(atMs)}</td><td class="${direction}-text">${from} → ${to}</td><td>${escapeHtml(rule)}</td><td class="reason">${escapeHtml(reason)}</td></tr>`
  })
  const body = rows.length > 0 ? rows.join('\n') : '<tr><td colspan="5">none</td></tr>'
  return `<div class="table" role="region" aria-label="Scale events" tabindex="0"><table>
<thead><tr><th scope="col" class="number">No.</th><th scope="col" class="number">Time, s</th><th scope="col">Desired</th><th scope="col">Rule</th><th scope="col">Reason</th></tr></thead>
<tbody>
${body}
</tbody>
</table></div>`
}

const COLUMNS: readonly { name: string; value: (row: TimelineRow) => string }[] = [
  { name: 'Time, s', value: (row) => formatSeconds(row.tMs) },
  { name: 'New/s', value: (row) => formatCount(row.newPerSecond) },
  { name: 'Offered/s', value: (row) => formatCount(row.offeredPerSecond) },
  { name: 'Accepted/s', value: (row) => formatCount(row.acceptedPerSecond) },
  { name: 'Forwarded/s', value: (row) => formatCount(row.forwardedPerSecond) },
  { name: 'Ready', value: (row) => formatOptionalCount(row.ready) },
  { name: 'In flight', value: (row) => formatOptionalCount(row.inFlight) },
  { name: 'Deferred', value: (row) => formatOptionalCount(row.deferred) },
  { name: 'Demand', value: (row) => formatOptionalCount(row.demand) },
  { name: 'Desired', value: (row) => formatCount(row.desired) },
  { name: 'In service', value: (row) => formatCount(row.inService) },
  { name: 'Launching', value: (row) => formatCount(row.pending) },
  { name: 'Draining', value: (row) => formatCount(row.terminating) },
  { name: 'p50', value: (row) => formatDuration(row.delayP50Ms) },
  { name: 'p99', value: (row) => formatDuration(row.delayP99Ms) },
  { name: 'CPU idle', value: (row) => formatPercent(row.cpuIdle) },
]

function timelineTable(timeline: readonly TimelineRow[]): string {
  const names = COLUMNS.map(({ name }) => `<th scope="col" class="number">${name}</th>`).join('')
  const rows = timeline.map((row) => {
    const [time = '', ...figures] = COLUMNS.map(({ value }) => value(row))
    return `<tr><th scope="row" class="number">${time}</th>${figures.map((figure) => `<td class="number">${figure}</td>`).join('')}</tr>`
  })
  return `<div class="table tall" role="region" aria-label="All figures over time" tabindex="0"><table>
<thead><tr>${names}</tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table></div>`
}

function foot({ image, phases }: StartReport): string {
  const load = phases.map(({ name, perSecond }) => `${name} ${formatCount(perSecond)}/s`).join(', ')
  const digest = image ? `Image <code>${escapeHtml(image.digest)}</code>. ` : ''
  return `<footer><p>${digest}Load: ${escapeHtml(load)}. Time is compressed: senders retry after seconds instead of minutes, and the control loop decides every second. The figures are from one run on one machine.</p></footer>`
}

/** 2026-08-17 04:09 UTC */
function readableTime(iso: string): string {
  return `${iso.slice(0, 16).replace('T', ' ')} UTC`
}
