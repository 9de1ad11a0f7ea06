// Formats figures and text for the report page. Text gets into its HTML only through escapeHtml().

/** For HTML text and quoted attribute values. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

/** 12,345 */
export function formatCount(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

/** 1.20 s, or 250 ms below a second. */
export function formatDuration(valueMs: number | null): string {
  if (valueMs === null) return '–'
  return valueMs < 1000
    ? `${Math.round(valueMs)} ms`
    : `${(valueMs / 1000).toFixed(valueMs < 10_000 ? 2 : 1)} s`
}

/** 12,345, or a dash where there is no figure. */
export function formatOptionalCount(value: number | null): string {
  return value === null ? '–' : formatCount(value)
}

/** 57 % */
export function formatPercent(share: number | null): string {
  return share === null ? '–' : `${Math.round(share * 100)} %`
}

/** 258 MB. A megabyte is 1,000,000 bytes here. */
export function formatMegabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`
}

/** Seconds since the start: 12.4 */
export function formatSeconds(atMs: number): string {
  return (atMs / 1000).toFixed(1)
}
