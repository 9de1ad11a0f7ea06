// The pulse as Lambda runs it: one CommonJS file with everything in it, the AWS SDK too, so that nothing that changes
// at AWS changes it. Owns: the bundler's options, and the file in build/. Fails with the bundler's own list of what it
// cannot find, or with the file system's error.
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { buildSync } from 'esbuild'
import { writeFileAtomic } from '../../platform/atomic-file.ts'

const ROOT = join(import.meta.dirname, '../..')

/** Path of the file in the function's archive, and the handler's name for Lambda. */
export const BUNDLE_FILE = 'index.js'
export const BUNDLE_HANDLER = 'index.handler'

/** The same source and packages give the same text, wherever the tree lies: a deployment shows only real changes. */
export function pulseBundle(): string {
  const { outputFiles } = buildSync({
    absWorkingDir: ROOT,
    entryPoints: [join(import.meta.dirname, '../pulse/handler.ts')],
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

/**
 * Writes the bundle for a deployment. Pulumi keeps a file's path and hash in its state, and compares the hash alone.
 * @returns the path, always the same one
 */
export function writePulseBundle(): string {
  const file = join(ROOT, 'build/pulse', BUNDLE_FILE)
  mkdirSync(dirname(file), { recursive: true })
  writeFileAtomic(file, pulseBundle())
  return file
}
