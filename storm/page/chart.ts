// Charts as SVG text: a frame with axes, and the marks that go into it.
// Owns: scales, ticks and the primitives (line, steps, area). All charts of a page share the width and the time axis,
// so that a moment is at the same place in each. Colours are CSS classes, so that light and dark need no second SVG.
import { coordinate, escapeHtml } from './format.ts'

export const WIDTH = 1000
const LEFT = 58
const RIGHT = 14
const TOP = 8
const BOTTOM = 22

/** A value over time; null is a gap. */
export type Point = { atMs: number; value: number | null }

export type Plot = {
  x: (atMs: number) => number
  y: (value: number) => number
  top: number
  bottom: number
}

export type ChartOptions = {
  id: string
  /** What the picture shows, in a sentence, for those who do not see it. */
  description: string
  height: number
  endMs: number
  yMax: number
  /** A tick with an empty label is not drawn. */
  formatY: (value: number) => string
  /** Fewer for a low chart. */
  yTicks?: number
  wholeTicks?: boolean
  /** Behind the grid. */
  backdrop: (plot: Plot) => string
  marks: (plot: Plot) => string
}

export function chart(options: ChartOptions): string {
  const { id, description, height, endMs, formatY } = options
  const ticks = niceTicks(options.yMax, options.yTicks ?? 4, options.wholeTicks ?? false)
  const yTop = Math.max(ticks.at(-1) ?? 1, options.yMax)
  const bottom = height - BOTTOM
  const plot: Plot = {
    x: (atMs) => LEFT + (atMs / endMs) * (WIDTH - LEFT - RIGHT),
    y: (value) => bottom - (value / yTop) * (bottom - TOP),
    top: TOP,
    bottom,
  }
  return [
    `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="${id}-title ${id}-description">`,
    `<desc id="${id}-description">${escapeHtml(description)}</desc>`,
    options.backdrop(plot),
    ...ticks.map((tick) => yTick(plot, tick, formatY)),
    ...timeTicks(endMs).map((atMs) => xTick(plot, atMs)),
    options.marks(plot),
    '</svg>',
  ].join('\n')
}

function yTick({ y }: Plot, tick: number, formatY: (value: number) => string): string {
  const label = formatY(tick)
  if (label === '') return ''
  const at = coordinate(y(tick))
  const line = `<line class="${tick === 0 ? 'axis' : 'grid'}" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}"/>`
  return `${line}<text class="tick" x="${LEFT - 8}" y="${at}" dy="0.35em" text-anchor="end">${label}</text>`
}

function xTick({ x, bottom }: Plot, atMs: number): string {
  const at = coordinate(x(atMs))
  const line = `<line class="axis" x1="${at}" x2="${at}" y1="${bottom}" y2="${bottom + 4}"/>`
  const unit = atMs === 0 ? '' : ' s'
  return `${line}<text class="tick" x="${at}" y="${bottom + 16}" text-anchor="middle">${atMs / 1000}${unit}</text>`
}

/** A line through the points; broken where there is no value. */
export function line({ x, y }: Plot, points: readonly Point[], className: string): string {
  let path = ''
  let pen = 'M'
  for (const { atMs, value } of points) {
    if (value === null) {
      pen = 'M'
    } else {
      path += `${pen}${coordinate(x(atMs))} ${coordinate(y(value))}`
      pen = 'L'
    }
  }
  return path === '' ? '' : `<path class="line ${className}" d="${path}"/>`
}

/** Each value holds from its point to the next one. */
export function stepped(points: readonly Point[], endMs: number): Point[] {
  return points.flatMap((point, index) => [
    point,
    { atMs: points[index + 1]?.atMs ?? endMs, value: point.value },
  ])
}

/** The area between two series at the same moments, `lower` null being the axis; broken where a value is missing. */
export function area(
  { x, y }: Plot,
  upper: readonly Point[],
  lower: readonly Point[] | null,
  className: string,
): string {
  const at = (atMs: number, value: number) => `${coordinate(x(atMs))} ${coordinate(y(value))}`
  let path = ''
  let top: string[] = []
  let base: string[] = []
  const close = () => {
    if (top.length > 1) path += `M${[...top, ...base.reverse()].join('L')}Z`
    top = []
    base = []
  }
  for (const [index, { atMs, value }] of upper.entries()) {
    const under = lower ? (lower[index]?.value ?? null) : 0
    if (value === null || under === null) {
      close()
    } else {
      top.push(at(atMs, value))
      base.push(at(atMs, under))
    }
  }
  close()
  return path === '' ? '' : `<path class="area ${className}" d="${path}"/>`
}

/** Round steps (1, 2 or 5 times a power of ten) from 0 to the first at or above `max`. */
export function niceTicks(max: number, wanted: number, whole: boolean): number[] {
  const raw = Math.max(max, 1e-9) / wanted
  const power = 10 ** Math.floor(Math.log10(raw))
  const found = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw) ?? raw
  const step = whole ? Math.max(1, Math.ceil(found)) : found
  const count = Math.ceil(max / step - 1e-9)
  return Array.from({ length: Math.max(1, count) + 1 }, (_, index) => Number((index * step).toPrecision(12)))
}

/** Every 5 s, or as many seconds as give at most 14 labels. */
export function timeTicks(endMs: number): number[] {
  const stepMs =
    [5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600].map((s) => s * 1000).find((s) => endMs / s <= 14) ?? endMs
  return Array.from({ length: Math.floor(endMs / stepMs) + 1 }, (_, index) => index * stepMs)
}
