// Reads the SRS secrets, the TLS key and its certificate from SSM. Polls the SRS secrets, so that they can be rotated.
// At start, a failed read is retried; an unusable value is an InputError that does not print it.
// Later, both are logged and the last good secrets stay.
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { checkInput, InputError } from '../../input/problems.ts'
import { ssmClient, type AwsSettings } from '../aws/clients.ts'
import { awsErrorFields } from '../aws/errors.ts'
import { keyProblems, type LoadedConfig } from './load.ts'
import { retryUntilStopped, type StopContext } from '../retry-until-stopped.ts'
import { srsSecretsSchema } from './srs.ts'

/** Reads a parameter's value. @throws the SDK's error */
type Read = (name: string) => Promise<string>

/** SSM allows 40 GetParameter calls a second; this makes one a minute and instance. */
const POLL_MS = 60_000

/**
 * Reads the SSM parameters that `loaded` names, and adds their values. The result's SRS secrets are a getter, which
 * returns the secrets read last.
 * @throws {InputError} for an invalid secret or key. @throws {StoppedError}
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

/** Creates an SSM client that is destroyed when the process stops. */
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

/** @returns settings whose `secrets` getter returns the secrets read last. A spread would copy the value. */
function followSecrets(settings: Followed, read: Read, { log, signal }: StopContext): SrsSettings {
  const { secretsParameter, secretsPollMs = POLL_MS } = settings
  let { secrets } = settings

  async function poll(): Promise<void> {
    try {
      const found = secretLines(secretsParameter, await read(secretsParameter))
      if (found.join('\n') === secrets.join('\n')) return
      // Log no secret: only their number, and whether the first one, which signs, has changed.
      log('secrets-changed', { secrets: found.length, signsWithAnother: found[0] !== secrets[0] })
      secrets = found
    } catch (error) {
      if (!signal.aborted) log('secrets-failed', { parameter: secretsParameter, ...awsErrorFields(error) })
    }
  }

  async function follow(): Promise<void> {
    while (!signal.aborted) {
      await sleep(secretsPollMs, undefined, { signal, ref: false }).catch(() => {})
      if (!signal.aborted) await poll()
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

/** One secret a line. The first secret signs. */
function secretLines(name: string, value: string): string[] {
  const secrets = value
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  return checkInput(name, v.strictObject({ secrets: srsSecretsSchema }), { secrets }).secrets
}
