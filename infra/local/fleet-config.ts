// The configuration file of a fleet on one machine: port, paths, server settings and scaling policy.
// Owns: its schema. Relative paths are relative to the file. Fails with InputError, which names all problems.
import { dirname, resolve } from 'node:path'
import * as v from 'valibot'
import { checkInput, InputError, readInput, formatValue } from '../../input/problems.ts'
import { scalingPolicySchema } from '../scaling/policy.ts'

const port = v.pipe(
  v.number('a TCP port, 1 to 65535'),
  v.integer('a TCP port, 1 to 65535'),
  v.minValue(1, 'a TCP port, 1 to 65535'),
  v.maxValue(65_535, 'a TCP port, 1 to 65535'),
)

const schema = v.strictObject({
  listen: v.optional(
    v.strictObject({ host: v.optional(v.string(), '127.0.0.1'), port: v.optional(port, 2525) }),
    {},
  ),
  /** For spool, logs and the instances' configuration. Each fleet needs its own. */
  directory: v.pipe(v.string('a directory'), v.nonEmpty('a directory')),
  /** Every instance reads it and follows its changes. */
  routesFile: v.pipe(v.string('the routes file'), v.nonEmpty('the routes file')),
  /** The server's configuration without the keys that the fleet sets: listen, the spool's path and the routes file. */
  server: v.looseObject({}),
  policy: v.optional(scalingPolicySchema, {}),
  /** Time between scaling decisions. */
  periodMs: v.optional(
    v.pipe(
      v.number('100 to 60000 ms'),
      v.minValue(100, '100 to 60000 ms'),
      v.maxValue(60_000, '100 to 60000 ms'),
    ),
    1000,
  ),
})

export type FleetConfig = v.InferOutput<typeof schema>

/** @throws {InputError} that names all bad keys. */
export function readFleetConfig(file: string): FleetConfig {
  const value = readInput(file)
  const config = withConcurrency(file, checkInput(file, schema, value), value)
  const from = (path: string) => resolve(dirname(file), path)
  return { ...config, directory: from(config.directory), routesFile: from(config.routesFile) }
}

/**
 * Policy and server must have the same concurrency. It may be set in either place.
 * @throws {InputError} when the two differ
 */
function withConcurrency(file: string, config: FleetConfig, value: unknown): FleetConfig {
  const { policy } = value as { policy?: { concurrency?: number } }
  const delivery = config.server['delivery'] as { concurrency?: unknown } | undefined
  const inServer = delivery?.concurrency
  if (inServer === undefined || typeof delivery !== 'object') {
    const { concurrency } = config.policy
    return { ...config, server: { ...config.server, delivery: { ...delivery, concurrency } } }
  }
  // The server's own schema will report it.
  if (typeof inServer !== 'number') return config
  if (policy?.concurrency !== undefined && policy.concurrency !== inServer) {
    const expected = `${inServer}, as in server.delivery.concurrency, or no such key`
    throw new InputError(file, [
      { key: 'policy.concurrency', found: formatValue(policy.concurrency), expected },
    ])
  }
  return { ...config, policy: { ...config.policy, concurrency: inServer } }
}
