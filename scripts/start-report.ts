// The final report of `mailfleet start`. Owns: which figures are on the screen, and what makes a run fail.
import type { StormReport } from '../storm/report.ts'

/** build/reports/start.json. The key names are a contract; more may come, none may go. */
export type FullReport = StormReport & {
  image: {
    digest: string
    bytes: number
    cached: boolean
    /** False: a locked package was gone, and the image has another version of it. */
    locked: boolean
    relockDifferences: string[]
  }
  boot: {
    accel: string
    secondsToFirstForward: number
    bytesRead: number
    networkCut: boolean
    cleanShutdown: boolean
    volatileSpool: boolean
  }
  /** The whole run, wall clock. */
  seconds: number
}

/** What went wrong in a run, a sentence each; empty when it succeeded. */
export function startFailures({ boot, fleet, mail }: FullReport): string[] {
  const { maxInstances, finalInstances } = fleet
  return [
    ...(boot.networkCut ? [] : ['The boot test did not show that the network was cut off.']),
    ...(maxInstances > 1 ? [] : ['The fleet did not scale out.']),
    ...(finalInstances === 1
      ? []
      : [`The fleet did not scale back in: ${finalInstances} instances at the end.`]),
    ...(mail.lost === 0 ? [] : [`${mail.lost} accepted messages were lost.`]),
    ...(mail.resets === 0
      ? []
      : [`${mail.resets} connections were reset: ${JSON.stringify(mail.resetReasons)}.`]),
  ]
}

/** The figures of a run, in two aligned columns. */
export function figuresTable({ image, boot, fleet, mail, cpuIdleAtPeak, seconds }: FullReport): string {
  const { p50, p99 } = mail.delayMs
  const rows: [string, string][] = [
    [
      'image',
      `${image.digest.slice(0, 16)}, ${(image.bytes / 1e6).toFixed(0)} MB${image.cached ? ', cached' : ''}`,
    ],
    ...(image.locked
      ? []
      : [['', `not as locked: ${image.relockDifferences.length} packages differ`] as [string, string]]),
    ['launch → first forward', `${boot.secondsToFirstForward.toFixed(1)} s (${boot.accel}), network cut`],
    ['read until then', `${(boot.bytesRead / 1e6).toFixed(0)} MB`],
    ['instances', `1 → ${fleet.maxInstances} → ${fleet.finalInstances}`],
    ['accepted', `${mail.accepted}, each accounted for by its id`],
    ['forwarded', `${mail.forwarded}, twice ${mail.duplicates}`],
    ['lost', String(mail.lost)],
    ['refused for now (4xx)', String(mail.refused)],
    ['connections reset', String(mail.resets)],
    ['250 → forwarded', `p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms`],
    ['CPU idle at the peak', `${(cpuIdleAtPeak * 100).toFixed(0)} %`],
    ['whole run', `${seconds.toFixed(0)} s`],
  ]
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join('\n')
}
