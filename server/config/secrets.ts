// Secrets from SSM: the SRS secrets, the TLS key and its certificate, put where a configuration with files has them.
// Owns: that nothing is served without them, and that the SRS secrets are read again while the server runs, so that they
// can be rotated. At start, a store that does not answer, a role that may not read it and a parameter that is not there yet
// are waited for; a value that will not do is an InputError that does not show it. Later, each of these is logged and
// changes nothing: the last good secrets stay.
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { checkInput, InputError } from '../../input/problems.ts'
import { ssmClient, type AwsSettings } from '../aws/clients.ts'
import { awsErrorFields } from '../aws/errors.ts'
import { keyProblems, type LoadedConfig } from './load.ts'
import { retryUntilStopped, type StopContext } from '../retry-until-stopped.ts'
import { SrsSecrets } from './srs.ts'

/** Reads a parameter's value. @throws the SDK's error. */
type Read = (name: string) => Promise<string>

/** Decrypted reads of one parameter: SSM allows 40 a second, this asks for one a minute and instance. */
const POLL_MS = 60_000

/**
 * Fills in what `loaded` names by SSM parameters; what has none stays as it is. The SRS secrets of the result are a getter:
 * it gives those that were read last, until `context` ends.
 * @throws {InputError} for a value that is no secret, or no key. @throws {StoppedError}
 */
export async function fillSecrets(loaded: LoadedConfig, context: StopContext): Promise<LoadedConfig> {
  const { config } = loaded
  const { secretsParameter } = config.srs
  const { keyParameter, certParameter } = config.tls ?? {}
  if (secretsParameter === undefined && keyParameter === undefined) return loaded
  const read = await reader(config.aws, context.signal)
  const waitFor = (name: string) => retryUntilStopped(`SSM parameter ${name}`, () => read(name), context)
  let { srs } = config
  if (secretsParameter !== undefined) {
    const first = secretLines(secretsParameter, await waitFor(secretsParameter))
    srs = followSecrets({ ...srs, secretsParameter, secrets: first }, read, context)
  }
  const filled = { ...config, srs }
  if (keyParameter === undefined || certParameter === undefined) return { ...loaded, config: filled }
  const tls = {
    key: Buffer.from(await waitFor(keyParameter)),
    cert: Buffer.from(await waitFor(certParameter)),
  }
  const problems = keyProblems(tls)
  if (problems.length > 0) throw new InputError(`${keyParameter}, ${certParameter}`, problems)
  return { config: filled, tls }
}

/** A client for as long as the process runs. */
async function reader(aws: AwsSettings, signal: AbortSignal): Promise<Read> {
  const { GetParameterCommand } = await import('@aws-sdk/client-ssm')
  const client = await ssmClient(aws)
  signal.addEventListener('abort', () => client.destroy())
  return async (name) => {
    const { Parameter } = await client.send(new GetParameterCommand({ Name: name, WithDecryption: true }))
    return Parameter?.Value ?? ''
  }
}

type SrsSettings = LoadedConfig['config']['srs']
type Followed = SrsSettings & { secretsParameter: string }

/** @returns the settings with the secrets that were read last; do not copy them by a spread. */
function followSecrets(settings: Followed, read: Read, { log, signal }: StopContext): SrsSettings {
  const { secretsParameter, secretsPollMs = POLL_MS } = settings
  let { secrets } = settings

  async function look(): Promise<void> {
    try {
      const found = secretLines(secretsParameter, await read(secretsParameter))
      if (found.join('\n') === secrets.join('\n')) return
      // The first signs: how many there are and whether that one is new is all that may be told.
      log('secrets-changed', { secrets: found.length, signsWithAnother: found[0] !== secrets[0] })
      secrets = found
    } catch (error) {
      if (!signal.aborted) log('secrets-failed', { parameter: secretsParameter, ...awsErrorFields(error) })
    }
  }

  async function follow(): Promise<void> {
    while (!signal.aborted) {
      await sleep(secretsPollMs, undefined, { signal, ref: false }).catch(() => {})
      if (!signal.aborted) await look()
    }
  }

  void follow()
  return {
    ...settings,
    get secrets() {
      return secrets
    },
  }
}

/** One secret a line; the first signs. */
function secretLines(name: string, value: string): string[] {
  const secrets = value
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  return checkInput(name, v.strictObject({ secrets: SrsSecrets }), { secrets }).secrets
}
