// The entry that Pulumi's Node host loads. It checks that this Node can run main.ts.
// Plain JavaScript: the host runs under the first Node on the PATH, and an older Node cannot load TypeScript.
// Fails with RunError, which Pulumi prints without a stack trace.
import { RunError } from '@pulumi/pulumi'

/** The program. @returns {Promise<Record<string, unknown>>} the stack's outputs. */
export default async function program() {
  if (!process.features.typescript)
    throw new RunError(
      `The Pulumi program needs Node 22.18 or later; Pulumi found ${process.version} at ${process.execPath}. Run \`npx pulumi\`, which uses the pinned Node, or put a newer Node first on the PATH.`,
    )
  const { default: main } = await import('./main.ts')
  return main()
}
