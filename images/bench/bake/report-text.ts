// The text of the bake benchmark: for a terminal, and as a section of docs/benchmarks.md. Pure.
import type { BakeBench } from './bench.ts'
import { table } from '../document.ts'

/** Lines for a terminal. @param file the report's path */
export function bakeText(b: BakeBench, file: string): string {
  return [
    `unchanged              ${b.unchangedSeconds.toFixed(1)} s`,
    `the server changed     ${b.appOnlySeconds.toFixed(1)} s, ${share(b)} to upload`,
    `from its downloads     ${b.fullCachedSeconds.toFixed(1)} s`,
    `two from nothing       ${b.digests.map((digest) => digest.slice(0, 16)).join(', ')}`,
    `report                 ${file}`,
  ].join('\n')
}

/** The section of the document. */
export function bakeMarkdown(b: BakeBench): string {
  return [
    `Measured on ${b.createdAt.slice(0, 10)} on ${b.cpus} processors.`,
    '',
    ...table([
      ['bake', 'time'],
      ['nothing changed', `${b.unchangedSeconds.toFixed(1)} s`],
      ["the server's code changed", `${b.appOnlySeconds.toFixed(1)} s`],
      ['everything, its files downloaded', `${b.fullCachedSeconds.toFixed(1)} s`],
    ]),
    '',
    `A change of the server's code changes ${share(b)} of 512 KiB. A publication over a parent uploads only these.`,
    '',
    `Two bakes without cached stages, each with another folder, time zone, locale and umask, gave ${b.digestsEqual ? 'the same bytes' : 'different bytes'}.`,
  ].join('\n')
}

const share = (b: BakeBench) =>
  `${b.deltaBlocks} of ${b.blocks} blocks (${(b.deltaBlocksShare * 100).toFixed(1)} %)`
