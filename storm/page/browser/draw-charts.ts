// Draws the charts of a report page with uPlot. This is the script inside the page.
// It reads ChartPage from the JSON element `chart-data` and fills each element `ID-chart`.
// Text from the report only becomes text nodes and attribute values, never HTML.
import uPlot from 'uplot'
import type { ChartPage, ChartSeries, ChartSpec } from '../chart-spec.ts'

/** Two numbered marks closer than this would overlap. */
const MARK_WIDTH_PX = 22

const page = JSON.parse(element('chart-data').textContent ?? '') as ChartPage
const plots = page.charts.map(drawChart)

element('chart-keys').hidden = false
// The canvas has the colours of the style sheet at the time of drawing.
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  for (const plot of plots) plot.redraw(false)
})

function drawChart(spec: ChartSpec): uPlot {
  const container = element(`${spec.id}-chart`)
  const size = () => ({ width: container.clientWidth, height: spec.heightPx })
  const overlay = (plot: uPlot) => addOverlay(plot, spec)
  const options: uPlot.Options = {
    ...size(),
    padding: [8, 14, 0, 0],
    scales: { x: { time: false, range: [0, page.endSeconds] }, y: { range: [0, spec.yMax] } },
    axes: [
      { ...axis((value) => (value === 0 ? '0' : `${value} s`)), size: 30 },
      {
        ...axis((value) => `${value.toLocaleString('en-US')}${spec.unit}`),
        size: 54,
        space: 24,
        ...(spec.wholeTicks ? { incrs: [1, 2, 5, 10, 20, 50, 100] } : {}),
      },
    ],
    cursor: { y: false, drag: { x: false, y: false }, sync: { key: 'report', scales: ['x', null] } },
    legend: {
      markers: {
        width: (_, index) => (spec.series[index - 1]?.line === undefined ? 0 : 2),
        stroke: (_, index) => `var(--${spec.series[index - 1]?.line ?? 'card'})`,
        dash: (_, index) => (spec.series[index - 1]?.dashed ? 'dashed' : 'solid'),
        fill: (_, index) => `var(--${spec.series[index - 1]?.area ?? 'card'})`,
      },
    },
    series: [
      { label: 'Time', value: (_, seconds) => momentText(seconds) },
      ...spec.series.map((series) => seriesOptions(series)),
    ],
    bands: spec.series.flatMap(({ above, area }, index) =>
      above === undefined
        ? []
        : [{ series: [index + 1, above + 1] as [number, number], fill: colorOf(area) }],
    ),
    hooks: { ready: [overlay] },
  }
  const data = [page.moments, ...spec.series.map(({ values }) => values)] as uPlot.AlignedData
  const plot = new uPlot(options, data, container)
  new ResizeObserver(() => {
    plot.setSize(size())
    spreadMarks(plot)
  }).observe(container)
  listenToKeys(plot, spec, container)
  return plot
}

function seriesOptions(series: ChartSeries): uPlot.Series {
  const { label, line, area, dashed, stepped, values, texts } = series
  const isGap = (index: number) => (values[index] ?? null) === null
  // A value between two gaps has no line, so it gets a dot.
  const single = [...values.keys()].filter((at) => !isGap(at) && isGap(at - 1) && isGap(at + 1))
  const stepPaths = stepped ? uPlot.paths.stepped?.({ align: 1 }) : undefined
  return {
    label,
    class: line !== undefined && area === undefined ? 'line-only' : 'with-area',
    width: line === undefined ? 0 : 2,
    ...(line === undefined ? {} : { stroke: colorOf(line) }),
    ...(area === undefined ? {} : { fill: colorOf(area) }),
    ...(dashed ? { dash: [6, 3] } : {}),
    ...(stepPaths ? { paths: stepPaths } : {}),
    points: { show: false, size: 5, filter: () => (line === undefined ? null : single) },
    value: (_plot, _value, _series, index) => (index === null ? '–' : (texts[index] ?? '–')),
  }
}

function axis(text: (value: number) => string): uPlot.Axis {
  return {
    stroke: colorOf('soft'),
    grid: { stroke: colorOf('grid'), width: 1 },
    ticks: { stroke: colorOf('grid'), width: 1, size: 4 },
    values: (_, splits) => splits.map(text),
  }
}

/** uPlot asks again at every drawing, so the colours follow the colour scheme. */
function colorOf(name: string | undefined): () => string {
  return () => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()
}

/** Phases and events as elements over and under the canvas. Percentages hold at every size, as the x range is fixed. */
function addOverlay(plot: uPlot, spec: ChartSpec): void {
  const left = (seconds: number) => `${(seconds / page.endSeconds) * 100}%`
  for (const { label, fromSeconds, toSeconds, isPeak } of page.phases) {
    const place = { left: left(fromSeconds), width: left(toSeconds - fromSeconds) }
    plot.under.append(box(`phase${isPeak ? ' peak' : ''}`, place))
    if (spec.showPhaseNames) plot.over.append(box('phase-name', place, label))
  }
  for (const [index, { atSeconds, direction, text }] of page.events.entries()) {
    plot.under.append(box(`event ${direction}`, { left: left(atSeconds) }))
    if (!spec.showEventNumbers) continue
    const mark = box(`mark ${direction}`, { left: left(atSeconds) }, String(index + 1))
    mark.title = text
    plot.over.append(mark)
  }
  spreadMarks(plot)
}

/** Puts a mark on the lower of two levels when it would overlap the one before it. */
function spreadMarks(plot: uPlot): void {
  let lower = false
  let lastPx = -Infinity
  for (const mark of plot.over.querySelectorAll<HTMLElement>('.mark')) {
    lower = mark.offsetLeft - lastPx < MARK_WIDTH_PX && !lower
    lastPx = mark.offsetLeft
    mark.classList.toggle('lower', lower)
  }
}

/** Arrow keys move the cursor of all charts; the live region names the values of the chart with the focus. */
function listenToKeys(plot: uPlot, spec: ChartSpec, container: HTMLElement): void {
  const last = page.moments.length - 1
  container.tabIndex = 0
  container.setAttribute('role', 'application')
  container.setAttribute('aria-roledescription', 'chart')
  container.setAttribute('aria-labelledby', `${spec.id}-title`)
  container.setAttribute('aria-describedby', `${spec.id}-description chart-keys`)
  container.addEventListener('keydown', (event) => {
    const at = plot.cursor.idx ?? null
    const targets: Record<string, number> = {
      ArrowRight: at === null ? 0 : Math.min(last, at + 1),
      ArrowLeft: at === null ? last : Math.max(0, at - 1),
      Home: 0,
      End: last,
    }
    const index = targets[event.key]
    const seconds = index === undefined ? undefined : page.moments[index]
    if (index === undefined || seconds === undefined) return
    event.preventDefault()
    for (const each of plots) each.setCursor({ left: each.valToPos(seconds, 'x'), top: 0 })
    element('chart-values').textContent = readout(spec, index, seconds)
  })
}

function readout({ series }: ChartSpec, index: number, seconds: number): string {
  const since = page.moments[index - 1] ?? -1
  const events = page.events
    .map((event, number) => ({ ...event, number: number + 1 }))
    .filter(({ atSeconds }) => atSeconds > since && atSeconds <= seconds)
    .map(({ number, text }) => ` Scale event ${number}: ${text}.`)
  const values = series.map(({ label, texts }) => `${label}: ${texts[index] ?? '–'}`)
  return `${momentText(seconds)}. ${values.join(', ')}.${events.join('')}`
}

function momentText(seconds: number | null): string {
  return seconds === null ? '–' : `${seconds.toFixed(1)} s`
}

function box(className: string, { left, width }: { left: string; width?: string }, text = ''): HTMLElement {
  const made = document.createElement('div')
  made.className = className
  made.style.left = left
  if (width !== undefined) made.style.width = width
  made.textContent = text
  return made
}

function element(id: string): HTMLElement {
  const found = document.getElementById(id)
  if (!found) throw new Error(`the page has no element ${id}`)
  return found
}
