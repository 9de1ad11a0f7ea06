// The pulse as Lambda runs it: one CommonJS file with everything in it, the AWS SDK too, so that nothing that changes
// at AWS changes it. Owns: the bundler's options. Fails with the bundler's own list of what it cannot find.
import { join } from 'node:path'
import { buildSync } from 'esbuild'

/** Path of the file in the function's archive, and the handler's name for Lambda. */
export const BUNDLE_FILE = 'index.js'
export const BUNDLE_HANDLER = 'index.handler'

/** The same source and packages give the same text, wherever the tree lies: a deployment shows only real changes. */
export function pulseBundle(): string {
  const { outputFiles } = buildSync({
    absWorkingDir: join(import.meta.dirname, '../..'),
    entryPoints: [join(import.meta.dirname, './handler.ts')],
    bundle: true,
    minify: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    target: 'node24',
    legalComments: 'none',
    logLevel: 'silent',
  })
  return outputFiles[0]?.text ?? ''
}
