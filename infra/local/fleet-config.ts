// What a person tells a fleet on one machine: a file with the port, the places, the server's settings and the policy.
// Owns: its schema and what relative paths mean (relative to the file). Fails with InputError, all problems at once.
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
  /** Spool, logs and the instances' configuration. Two fleets never share one. */
  directory: v.pipe(v.string('a directory'), v.nonEmpty('a directory')),
  /** Followed as it changes; every instance reads it itself. */
  routesFile: v.pipe(v.string('the routes file'), v.nonEmpty('the routes file')),
  /** The server's own settings, except what the fleet decides: listen, the spool's path, the routes' file. */
  server: v.looseObject({}),
  policy: v.optional(scalingPolicySchema, {}),
  /** From one scaling decision to the next. */
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

/** @throws {InputError} naming every key that does not fit. */
export function readFleetConfig(file: string): FleetConfig {
  const value = readInput(file)
  const config = withConcurrency(file, checkInput(file, schema, value), value)
  const from = (path: string) => resolve(dirname(file), path)
  return { ...config, directory: from(config.directory), routesFile: from(config.routesFile) }
}

/**
 * One number for both: the policy reckons with it, the server runs with it. It may be in either place.
 * @throws {InputError} when the places differ
 */
function withConcurrency(file: string, config: FleetConfig, value: unknown): FleetConfig {
  const { policy } = value as { policy?: { concurrency?: number } }
  const delivery = config.server['delivery'] as { concurrency?: unknown } | undefined
  const inServer = delivery?.concurrency
  if (inServer === undefined || typeof delivery !== 'object') {
    const { concurrency } = config.policy
    return { ...config, server: { ...config.server, delivery: { ...delivery, concurrency } } }
  }
  // The server's own schema judges it.
  if (typeof inServer !== 'number') return config
  if (policy?.concurrency !== undefined && policy.concurrency !== inServer) {
    const expected = `${inServer}, as in server.delivery.concurrency, or no such key`
    throw new InputError(file, [
      { key: 'policy.concurrency', found: formatValue(policy.concurrency), expected },
    ])
  }
  return { ...config, policy: { ...config.policy, concurrency: inServer } }
}
