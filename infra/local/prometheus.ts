// A parser of Prometheus' text exposition format (version 0.0.4), for the subset that prom-client writes.
// It skips lines that it cannot parse, so that one odd metric does not hide the others.

export type Sample = { name: string; labels: Readonly<Record<string, string>>; value: number }

/** name, optional {labels}, value, optional timestamp. */
const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$/
/** name="value", where \\, \" and \n are escaped. */
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g

/** Parses a page. NaN and ±Inf are valid values. */
export function parsePrometheus(page: string): Sample[] {
  const samples: Sample[] = []
  for (const line of page.split('\n')) {
    const found = line.startsWith('#') ? null : SAMPLE.exec(line.trim())
    const value = found ? numberOf(found[3] ?? '') : undefined
    if (found && value !== undefined)
      samples.push({ name: found[1] ?? '', labels: labelsOf(found[2] ?? ''), value })
  }
  return samples
}

/** The sum of every sample called `name` whose labels include `labels`; undefined when there is none. */
export function sumOf(
  samples: readonly Sample[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const wanted = Object.entries(labels)
  const found = samples.filter(
    (sample) => sample.name === name && wanted.every(([key, value]) => sample.labels[key] === value),
  )
  return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0)
}

function numberOf(text: string): number | undefined {
  if (text === '+Inf') return Infinity
  if (text === '-Inf') return -Infinity
  if (text === 'NaN' || text === 'Nan') return NaN
  const value = Number(text)
  return Number.isNaN(value) ? undefined : value
}

function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {}
  for (const [, key = '', value = ''] of text.matchAll(LABEL)) {
    labels[key] = value.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped))
  }
  return labels
}
