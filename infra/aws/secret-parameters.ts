// Checks that the instances' secrets exist, before the program registers a resource: a missing one fails each launch.
// Fails with RunError, which lists all missing parameters with the command that creates each.
// Does not decrypt the values, so that none gets into the stack's state.
import * as ssm from '@pulumi/aws/ssm/index.js'
import { RunError } from '@pulumi/pulumi'
import { providerMessage, isMissingParameter } from './provider-error.ts'

/** @throws {RunError} when a parameter is missing or is not a SecureString. */
export async function requireSecrets(names: readonly string[], region: string): Promise<void> {
  const problems = await Promise.all(names.map(problemOf))
  const found = problems.filter((problem) => problem !== null)
  if (found.length > 0) throw new RunError(`SSM parameters in ${region}:\n  ${found.join('\n  ')}`)
}

async function problemOf(name: string): Promise<string | null> {
  try {
    const { type } = await ssm.getParameter({ name, withDecryption: false })
    return type === 'SecureString' ? null : `${name} is a ${type}, not a SecureString: ${putCommand(name)}`
  } catch (error) {
    const why = isMissingParameter(error) ? 'is missing' : `could not be read (${providerMessage(error)})`
    return `${name} ${why}: ${putCommand(name)}`
  }
}

const putCommand = (name: string) =>
  `aws ssm put-parameter --type SecureString --overwrite --name ${name} --value file://FILE`
