// The parser of metrics pages, and the observation of several instances.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { emptyMemory, observe, type Scrape } from '../../../infra/local/observation.ts'
import { parsePrometheus, sumOf } from '../../../infra/local/prometheus.ts'

const PAGE = `
# HELP mailfleet_queue_ready Entries due now.
# TYPE mailfleet_queue_ready gauge
mailfleet_queue_ready 12
mailfleet_queue_in_flight 3
mailfleet_queue_deferred 4
mailfleet_queue_oldest_ready_seconds 1.5
mailfleet_refused_total{reason="load"} 7
mailfleet_refused_total{reason="relay"} 100
mailfleet_messages_accepted_total 50 1700000000000
odd{text="a \\"quoted\\", a \\\\ and a\\nline",b="}"} 1e-3
mailfleet_forward_delay_seconds_bucket{le="+Inf"} 9
not_a_number NaN
infinite +Inf
this line is no sample
broken{label="open 5
`

suite('Prometheus text', () => {
  test('names, labels, escapes, timestamps and special values', () => {
    const samples = parsePrometheus(PAGE)
    assert.equal(sumOf(samples, 'mailfleet_queue_ready'), 12)
    assert.equal(sumOf(samples, 'mailfleet_messages_accepted_total'), 50)
    assert.deepEqual(
      samples.find(({ name }) => name === 'odd'),
      {
        name: 'odd',
        labels: { text: 'a "quoted", a \\ and a\nline', b: '}' },
        value: 0.001,
      },
    )
    assert.equal(sumOf(samples, 'infinite'), Infinity)
    assert.equal(Number.isNaN(sumOf(samples, 'not_a_number')), true)
    assert.equal(
      samples.some(({ name }) => name === 'this' || name === 'broken'),
      false,
    )
  })

  test('samples are summed over the other labels', () => {
    const samples = parsePrometheus(PAGE)
    assert.equal(sumOf(samples, 'mailfleet_refused_total'), 107)
    assert.equal(sumOf(samples, 'mailfleet_refused_total', { reason: 'load' }), 7)
    assert.equal(sumOf(samples, 'mailfleet_refused_total', { reason: 'other' }), undefined)
  })
})

suite('an observation', () => {
  const scrape = (id: string, page?: string): Scrape => ({
    id,
    samples: page === undefined ? undefined : parsePrometheus(page),
  })
  const queue = 'mailfleet_queue_ready 5\nmailfleet_queue_in_flight 2\nmailfleet_queue_deferred 1\n'

  test('the shared queue’s gauges come from one answer and are not summed', () => {
    const seen = observe([scrape('a'), scrape('b', queue), scrape('c', queue)], emptyMemory, 60_000, 0)
    assert.deepEqual(seen.queue, { ready: 5, inFlight: 2, deferred: 1, oldestReadySeconds: 0 })
  })

  test('refusals for load are summed over instances, and other refusals do not count', () => {
    const refused = 'mailfleet_refused_demand_total 3\nmailfleet_refused_total{reason="backlog"} 9\n'
    const seen = observe([scrape('a', queue + refused), scrape('b', queue + refused)], emptyMemory, 60_000, 0)
    assert.equal(seen.refusedForLoad, 6)
  })

  test('accepted mail counts since the last observation', () => {
    const page = (total: number) => `${queue}mailfleet_messages_accepted_total ${total}\n`
    const first = observe([scrape('a', page(10))], emptyMemory, 60_000, 0)
    const second = observe([scrape('a', page(25)), scrape('b', page(5))], first.memory, 60_000, 1000)
    assert.deepEqual([first.accepted, second.accepted], [10, 20])
  })

  test('without answers or gauges the queue is missing data, not zero', () => {
    assert.equal(observe([], emptyMemory, 60_000, 0).queue, undefined)
    assert.equal(observe([scrape('a'), scrape('b')], emptyMemory, 60_000, 0).queue, undefined)
    assert.equal(observe([scrape('a', 'mailfleet_queue_ready 5\n')], emptyMemory, 60_000, 0).queue, undefined)
    assert.equal(observe([scrape('a', queue.replace('5', 'NaN'))], emptyMemory, 60_000, 0).queue, undefined)
  })
})
