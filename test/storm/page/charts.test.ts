// The values, texts, phases and events that the charts of a report show.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chartPage } from '../../../storm/page/charts.ts'
import { sampleReport as report } from '../../kit/fleet/sample-report.ts'

const page = chartPage(report)

function seriesOf(chart: string, label: RegExp) {
  const found = page.charts.find(({ id }) => id === chart)?.series.find((series) => label.test(series.label))
  assert.ok(found, `${chart}: ${label}`)
  return found
}

test('each series has one value and one text for each moment', () => {
  assert.deepEqual(page.moments, [1, 2, 3, 4, 5])
  for (const { series } of page.charts) {
    for (const { label, values, texts } of series) {
      assert.deepEqual([values.length, texts.length], [5, 5], label)
    }
  }
})

test('a period without data is a gap, not a zero', () => {
  assert.deepEqual(seriesOf('processors', /idle/).values, [80, 80, null, 80, 80])
  assert.deepEqual(seriesOf('processors', /idle/).texts, ['80 %', '80 %', '–', '80 %', '80 %'])
  assert.deepEqual(seriesOf('delay', /p99/).values, [0.3, 0.3, null, 0.3, 0.3])
  assert.deepEqual(seriesOf('demand', /in flight/).values, [2, 162, null, 2, 2])
})

test('a stacked series is drawn at the sum, and its text is its own value', () => {
  const retries = seriesOf('load', /retries/)
  assert.deepEqual([retries.values[1], retries.texts[1], retries.above], [290, '280', 0])
  const inFlight = seriesOf('demand', /in flight/)
  assert.deepEqual([inFlight.values[1], inFlight.texts[1], inFlight.above], [162, '2', 0])
})

test('each value fits its chart', () => {
  for (const { id, yMax, series } of page.charts) {
    for (const { values } of series) assert.ok(Math.max(...values.map((value) => value ?? 0)) <= yMax, id)
  }
})

test('the time axis has room for all phases and events', () => {
  assert.equal(page.endSeconds, 6)
  assert.deepEqual(
    page.phases.map(({ label, fromSeconds, toSeconds, isPeak }) => [label, fromSeconds, toSeconds, isPeak]),
    [
      ['normal 15/s', 0, 1, false],
      ['burst 150/s', 1, 3, true],
      ['calm 10/s', 3, 6, false],
    ],
  )
  assert.deepEqual(
    page.events.map(({ atSeconds, direction }) => [atSeconds, direction]),
    [
      [2, 'out'],
      [2.3, 'out'],
      [5, 'in'],
    ],
  )
})

test('a report without any period has an axis of one second', () => {
  const { endSeconds, charts } = chartPage({ ...report, timeline: [], phases: [], scaleEvents: [] })
  assert.equal(endSeconds, 1)
  for (const { id, yMax } of charts) assert.ok(yMax > 0, id)
})
