// The script and the style sheet of the charts, as text to put into the page.
// Fails with esbuild's error when the script does not build.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { buildSync } from 'esbuild'

const uplotFolder = join(dirname(createRequire(import.meta.url).resolve('uplot')), '..')

/** browser/draw-charts.ts and uPlot in one script. uPlot's licence asks for its text in every copy. */
export function chartScript(): string {
  const license = readFileSync(join(uplotFolder, 'LICENSE'), 'utf8').trim()
  const { outputFiles } = buildSync({
    entryPoints: [join(import.meta.dirname, 'browser/draw-charts.ts')],
    bundle: true,
    minify: true,
    write: false,
    platform: 'browser',
    format: 'iife',
    target: 'es2022',
    legalComments: 'none',
    banner: { js: `/* uPlot (bundled below)\n${license}\n*/` },
    logLevel: 'silent',
  })
  return outputFiles[0]?.text ?? ''
}

export function chartStyle(): string {
  return readFileSync(join(uplotFolder, 'dist/uPlot.min.css'), 'utf8').trim()
}

/** JSON for a script element: no text in it can end the element. */
export function jsonForScript(value: unknown): string {
  return JSON.stringify(value).replaceAll('<', '\\u003c')
}
