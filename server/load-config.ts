// The configuration as a process gets it: read, checked, and with the files it names. Owns: where it comes from.
// Fails with InputError, all problems at once, before anything has been opened or written.
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { InputError, readInput, type Problem } from '../input/problems.ts'
import { checkConfig, type Config } from './config.ts'

/** Key and certificate in PEM, read at start so that a missing one is a bad config, not a failed handshake. */
export type TlsFiles = { key: Buffer; cert: Buffer }

/**
 * Reads and checks the configuration in `file` (JSON or YAML), and the TLS files it names.
 * @throws {InputError} naming every key that does not fit and every file that cannot be read.
 */
export function loadConfig(file: string): { config: Config; tls: TlsFiles | null } {
  const config = checkConfig(file, readInput(file))
  if (config.tls === undefined) return { config, tls: null }
  const problems: Problem[] = []
  const read = (key: 'keyFile' | 'certFile', name = ''): Buffer => {
    try {
      return readFileSync(name)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      problems.push({
        key: `tls.${key}`,
        found: `${name} (${code ?? 'unreadable'})`,
        expected: 'a readable PEM file',
      })
      return Buffer.alloc(0)
    }
  }
  const files = { key: read('keyFile', config.tls.keyFile), cert: read('certFile', config.tls.certFile) }
  if (problems.length === 0) problems.push(...keyProblems(files))
  if (problems.length > 0) throw new InputError(file, problems)
  return { config, tls: files }
}

function keyProblems(files: TlsFiles): Problem[] {
  try {
    createSecureContext(files)
    return []
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error)
    return [{ key: 'tls', found, expected: 'a PEM certificate and its key' }]
  }
}
