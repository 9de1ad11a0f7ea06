// Prints the result of a command: JSON, or one line a key.

export function printResult(json: boolean, result: Record<string, unknown>): void {
  if (json) console.log(JSON.stringify(result, null, 2))
  else
    for (const [key, value] of Object.entries(result))
      console.log(`${key}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
}
