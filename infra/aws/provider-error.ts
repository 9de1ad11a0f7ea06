// Reads errors of Pulumi's AWS provider. It reports them as text of several lines, with the cause as a bullet.

/** The cause, on one line. */
export function providerMessage(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  const lines = message.split('\n').map((line) => line.trim())
  const bullet = lines.find((line) => line.startsWith('* '))
  return bullet?.slice(2) ?? lines.find((line) => line !== '') ?? 'no reason given'
}

/** Whether the parameter does not exist, as opposed to not being readable. */
export function isMissingParameter(error: unknown): boolean {
  return /couldn't find resource|ParameterNotFound/.test(providerMessage(error))
}

/** Whether the image does not exist here, as opposed to a failed look-up. */
export function isMissingImage(error: unknown): boolean {
  return /query returned no results/.test(providerMessage(error))
}
