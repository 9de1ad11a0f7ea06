// Reads and checks the configuration and the TLS files that it names. Owns: where the configuration comes from. Fails
// with InputError, which lists every problem, before it opens or writes anything. Retries a silent metadata service.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { InputError, parseInput, readInput, type Problem } from '../../input/problems.ts'
import { checkConfig, type Config } from './schema.ts'
import { createMetadata } from '../fleet/metadata.ts'
import { retryUntilStopped, type StopContext } from '../retry-until-stopped.ts'

/** Key and certificate in PEM, read at start: a missing file is a configuration error, not a failed handshake. */
export type TlsFiles = { key: Buffer; cert: Buffer }

/** `tls` is null without TLS, and until the key has been read from SSM. */
export type LoadedConfig = { config: Config; tls: TlsFiles | null }

/** Name of the systemd credential with the configuration. */
const CREDENTIAL = 'mailfleet.config'

/**
 * Reads and checks the configuration in `file` (JSON or YAML), and its TLS files.
 * @throws {InputError} with every invalid key and every unreadable file.
 */
export function loadConfig(file: string): LoadedConfig {
  return load(file, readInput(file))
}

/**
 * Reads the configuration from the systemd credential `mailfleet.config`, else from the instance's user data.
 * @throws {InputError} as {@link loadConfig}, or if there is neither. @throws {StoppedError}
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

/** The problems of a key and its certificate. Their content is never printed. */
export function keyProblems(files: TlsFiles): Problem[] {
  try {
    createSecureContext(files)
    return []
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error)
    return [{ key: 'tls', found, expected: 'a PEM certificate and its key' }]
  }
}
