// The configuration as a process gets it: read, checked, and with the files it names. Owns: where it comes from.
// Fails with InputError, all problems at once, before anything has been opened or written. A metadata service that does
// not answer yet is waited for.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { InputError, parseInput, readInput, type Problem } from '../../input/problems.ts'
import { checkConfig, type Config } from './schema.ts'
import { createMetadata } from '../fleet/metadata.ts'
import { retryUntilStopped, type StopContext } from '../retry-until-stopped.ts'

/** Key and certificate in PEM, read at start so that a missing one is a bad config, not a failed handshake. */
export type TlsFiles = { key: Buffer; cert: Buffer }

/** `tls` is null without TLS, and while its key is still to be had from SSM. */
export type LoadedConfig = { config: Config; tls: TlsFiles | null }

/** The name of the systemd credential that an image's boot can be given. */
const CREDENTIAL = 'mailfleet.config'

/**
 * Reads and checks the configuration in `file` (JSON or YAML), and the TLS files it names.
 * @throws {InputError} naming every key that does not fit and every file that cannot be read.
 */
export function loadConfig(file: string): LoadedConfig {
  return load(file, readInput(file))
}

/**
 * The configuration that this machine was started with: the systemd credential `mailfleet.config`, else the instance's
 * user data.
 * @throws {InputError} as {@link loadConfig}; also if there is neither. @throws {StoppedError}
 */
export async function loadInstanceConfig(context: StopContext): Promise<LoadedConfig> {
  const { CREDENTIALS_DIRECTORY } = process.env
  if (CREDENTIALS_DIRECTORY !== undefined) {
    const file = join(CREDENTIALS_DIRECTORY, CREDENTIAL)
    if (existsSync(file)) return loadConfig(file)
  }
  const metadata = createMetadata()
  const text = await retryUntilStopped('user data', () => metadata.get('user-data'), context)
  const name = 'user data of the instance'
  if (text !== null) return load(name, parseInput(name, text))
  const expected = `the configuration, or a credential ${CREDENTIAL}`
  throw new InputError(name, [{ key: '', found: 'nothing', expected }])
}

function load(name: string, value: unknown): LoadedConfig {
  const config = checkConfig(name, value)
  if (config.tls?.keyFile === undefined) return { config, tls: null }
  const problems: Problem[] = []
  const read = (key: 'keyFile' | 'certFile', file = ''): Buffer => {
    try {
      return readFileSync(file)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      problems.push({
        key: `tls.${key}`,
        found: `${file} (${code ?? 'unreadable'})`,
        expected: 'a readable PEM file',
      })
      return Buffer.alloc(0)
    }
  }
  const files = { key: read('keyFile', config.tls.keyFile), cert: read('certFile', config.tls.certFile) }
  if (problems.length === 0) problems.push(...keyProblems(files))
  if (problems.length > 0) throw new InputError(name, problems)
  return { config, tls: files }
}

/** What is wrong with a key and its certificate; nothing of either is shown. */
export function keyProblems(files: TlsFiles): Problem[] {
  try {
    createSecureContext(files)
    return []
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error)
    return [{ key: 'tls', found, expected: 'a PEM certificate and its key' }]
  }
}
