// A Lambda function's code: one CommonJS file with all its packages, the AWS SDK too, so that no update of Lambda's
// runtime changes them. Owns: esbuild's options and the file in build/.
// Fails with esbuild's list of errors, or with the file system's error.
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { buildSync } from 'esbuild'
import { writeFileAtomic } from '../../platform/atomic-file.ts'

const ROOT = join(import.meta.dirname, '../..')

/** Path of the file in the function's archive. */
export const BUNDLE_FILE = 'index.js'
/** Lambda's name for the exported function `handler`. */
export const BUNDLE_HANDLER = 'index.handler'

/**
 * The text is the same for the same source and packages, wherever the tree is: a deployment shows real changes only.
 * @param handlerFile absolute path of the module that exports `handler`
 */
export function lambdaBundle(handlerFile: string): string {
  const { outputFiles } = buildSync({
    absWorkingDir: ROOT,
    entryPoints: [handlerFile],
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
 * Writes the bundle to build/NAME/index.js. Pulumi keeps a file's path and hash in its state and compares the hash.
 * @returns the path, which never changes
 */
export function writeLambdaBundle(name: string, handlerFile: string): string {
  const file = join(ROOT, 'build', name, BUNDLE_FILE)
  mkdirSync(dirname(file), { recursive: true })
  writeFileAtomic(file, lambdaBundle(handlerFile))
  return file
}
