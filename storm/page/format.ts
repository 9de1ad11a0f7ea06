// Figures and text as the report page writes them.
// Owns: number formats and the one way by which text gets into HTML.

/** Text for HTML and attribute values. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

/** 12,345 */
export function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

/** 1.2 s, or 250 ms below a second; '–' for nothing. */
export function duration(valueMs: number | null): string {
  if (valueMs === null) return '–'
  return valueMs < 1000
    ? `${Math.round(valueMs)} ms`
    : `${(valueMs / 1000).toFixed(valueMs < 10_000 ? 2 : 1)} s`
}

/** 57 % */
export function percent(share: number | null): string {
  return share === null ? '–' : `${Math.round(share * 100)} %`
}

/** 258.0 MB, in powers of ten as disks are sold. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`
}

/** 12.4 as seconds since the start. */
export function clock(atMs: number): string {
  return (atMs / 1000).toFixed(1)
}

/** Three significant digits are enough for a coordinate of a thousand units. */
export function coordinate(value: number): string {
  return String(Math.round(value * 10) / 10)
}
