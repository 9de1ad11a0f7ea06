// What the AWS provider says when a look-up fails, as a person wants to read it.
// Pulumi hands its errors over as text of several lines, the cause as a bullet among them.

/** The cause, on one line. */
export function providerMessage(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  const lines = message.split('\n').map((line) => line.trim())
  const bullet = lines.find((line) => line.startsWith('* '))
  return bullet?.slice(2) ?? lines.find((line) => line !== '') ?? 'no reason given'
}

/** Whether SSM has no such parameter, as against one that may not be read. */
export function isMissingParameter(error: unknown): boolean {
  return /couldn't find resource|ParameterNotFound/.test(providerMessage(error))
}

/** Whether EC2 has no such image here, as against a look-up that failed. */
export function isMissingImage(error: unknown): boolean {
  return /query returned no results/.test(providerMessage(error))
}
