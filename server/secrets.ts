// Secrets from SSM: the SRS secrets, the TLS key and its certificate, put where a configuration with files has them.
// Owns: that nothing is served without them. A store that does not answer, a role that may not read it and a parameter
// that is not there yet are waited for; a value that will not do is an InputError that does not show it.
import { checkInput, InputError } from '../input/problems.ts'
import * as v from 'valibot'
import { ssmClient } from './aws/clients.ts'

import { keyProblems, type Loaded } from './load-config.ts'
import { Secrets } from './srs-settings.ts'
import { persist, type Patience } from './persist.ts'

/**
 * Fills in what `loaded` names by SSM parameters; what has none stays as it is.
 * @throws {InputError} for a value that is no secret, or no key. @throws {StoppedError}
 */
export async function fillSecrets(loaded: Loaded, patience: Patience): Promise<Loaded> {
  const { config } = loaded
  const { secretsParameter } = config.srs
  const { keyParameter, certParameter } = config.tls ?? {}
  const names = [secretsParameter, keyParameter, certParameter].filter((name) => name !== undefined)
  if (names.length === 0) return loaded
  const { GetParameterCommand } = await import('@aws-sdk/client-ssm')
  const client = await ssmClient(config.aws)
  const values = new Map<string, string>()
  for (const name of names) {
    const read = () => client.send(new GetParameterCommand({ Name: name, WithDecryption: true }))
    const { Parameter } = await persist(`SSM parameter ${name}`, read, patience)
    values.set(name, Parameter?.Value ?? '')
  }
  client.destroy()
  const valueOf = (name: string) => values.get(name) ?? ''
  const srs =
    secretsParameter === undefined
      ? config.srs
      : { ...config.srs, secrets: secretLines(secretsParameter, valueOf(secretsParameter)) }
  const filled = { ...config, srs }
  if (keyParameter === undefined || certParameter === undefined) return { ...loaded, config: filled }
  const tls = { key: Buffer.from(valueOf(keyParameter)), cert: Buffer.from(valueOf(certParameter)) }
  const problems = keyProblems(tls)
  if (problems.length > 0) throw new InputError(`${keyParameter}, ${certParameter}`, problems)
  return { config: filled, tls }
}

/** One secret a line; the first signs. */
function secretLines(name: string, value: string): string[] {
  const secrets = value
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  return checkInput(name, v.strictObject({ secrets: Secrets }), { secrets }).secrets
}
