// What the charts of a report page show. charts.ts writes it into the page as JSON; browser/draw-charts.ts draws it.
// Types alone, so that Node code and browser code can both import them.

export type ChartSeries = {
  label: string
  /** Names of colours in style.ts. A series has a line, an area below it, or both. */
  line?: string
  area?: string
  dashed?: boolean
  /** Each value holds until the next one. */
  stepped?: boolean
  /** The area ends at the series with this index in `series`, not at zero. */
  above?: number
  /** One value per moment, in the unit of the axis. null is a gap. */
  values: (number | null)[]
  /** What the legend shows per moment. */
  texts: string[]
}

export type ChartSpec = {
  id: string
  heightPx: number
  yMax: number
  /** Follows each number on the y axis. */
  unit: '' | ' s' | ' %'
  wholeTicks: boolean
  showPhaseNames: boolean
  showEventNumbers: boolean
  series: ChartSeries[]
}

export type PhaseBand = { label: string; fromSeconds: number; toSeconds: number; isPeak: boolean }

export type EventMark = { atSeconds: number; direction: 'out' | 'in'; text: string }

/** All charts share the time axis, the phases and the scale events. */
export type ChartPage = {
  endSeconds: number
  /** The moments of all series, in seconds since the start. */
  moments: number[]
  phases: PhaseBand[]
  /** In their order: the first one has number 1. */
  events: EventMark[]
  charts: ChartSpec[]
}
