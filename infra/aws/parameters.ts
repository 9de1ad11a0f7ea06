// The secrets that instances will ask for, looked at before anything is rolled out: a missing one would fail every launch.
// Owns: that look. Fails with RunError, every missing parameter at once with the command that makes it. The values are
// not decrypted here, so that none of them comes near the stack's state.
import * as ssm from '@pulumi/aws/ssm/index.js'
import { RunError } from '@pulumi/pulumi'
import { providerMessage, isMissingParameter } from './provider-error.ts'

/** @throws {RunError} when one of the parameters is missing or is not a SecureString. */
export async function requireSecrets(names: readonly string[], region: string): Promise<void> {
  const problems = await Promise.all(names.map(problemOf))
  const found = problems.filter((problem) => problem !== null)
  if (found.length > 0) throw new RunError(`SSM parameters in ${region}:\n  ${found.join('\n  ')}`)
}

async function problemOf(name: string): Promise<string | null> {
  try {
    const { type } = await ssm.getParameter({ name, withDecryption: false })
    return type === 'SecureString' ? null : `${name} is a ${type}, not a SecureString: ${command(name)}`
  } catch (error) {
    const why = isMissingParameter(error) ? 'is missing' : `could not be read (${providerMessage(error)})`
    return `${name} ${why}: ${command(name)}`
  }
}

const command = (name: string) =>
  `aws ssm put-parameter --type SecureString --overwrite --name ${name} --value file://FILE`
