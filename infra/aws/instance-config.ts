// An instance's configuration, which the launch template carries as user data. It names secrets and contains none:
// everyone who may describe a launch template can read its user data.
// Owns: the mapping from a stack's configuration to the server's. Fails when it is too large for user data.
import type { StackConfig } from '../stack-config.ts'
import { ADMIN_PORT, FIRST_PASSED_FD } from '../../contract/ports.ts'
import { ROUTES_KEY } from '../../contract/storage-names.ts'
import { LAUNCH_HOOK, TERMINATE_HOOK } from '../../contract/lifecycle-hooks.ts'

/** EC2's limit of user data, before base64. */
const USER_DATA_BYTES = 16_384
/**
 * Added to one drain, this is the longest wait for the terminate hook. The deregistration delay is one drain,
 * and a Network Load Balancer takes up to 300 s more. The rest is reserve.
 */
const DEREGISTRATION_MS = 600_000

/** Names of the stack's queue resources, known once they exist. */
export type QueueResources = {
  region: string
  readyUrl: string
  deferredUrl: string
  table: string
  bucket: string
}

/** The configuration of all instances of a stack, in the server's schema. JSON leaves undefined keys out. */
export function instanceConfig(stack: StackConfig, places: QueueResources) {
  const { region, ...queue } = places
  const { tlsKeyParameter: keyParameter, tlsCertParameter: certParameter } = stack
  const hasTls = keyParameter !== undefined && certParameter !== undefined
  return {
    hostname: stack.hostname,
    postmaster: stack.postmaster,
    listen: { smtp: { fd: FIRST_PASSED_FD }, admin: { host: '0.0.0.0', port: ADMIN_PORT } },
    queue: { engine: 'aws', ...queue, maxEntries: stack.maxEntries },
    aws: { region },
    routes: { bucket: places.bucket, key: ROUTES_KEY, pollMs: 10_000 },
    srs: {
      domain: stack.srsDomain,
      acknowledgeAligned: stack.srsAcknowledgeAligned,
      secretsParameter: stack.srsSecretsParameter,
    },
    tls: hasTls ? { keyParameter, certParameter } : undefined,
    // The scaling policy assumes this number of concurrent deliveries.
    delivery: { concurrency: stack.policy.concurrency },
    limits: { refusedWindowMs: stack.policy.refusedWindowMs },
    drain: { timeoutMs: stack.drainMs },
    fleet: {
      name: stack.fleetName,
      launchHook: LAUNCH_HOOK,
      terminateHook: TERMINATE_HOOK,
      terminateWaitMs: stack.drainMs + DEREGISTRATION_MS,
    },
  }
}

/** Names of the SSM parameters that a stack's instances read. */
export function instanceParameters(stack: StackConfig): string[] {
  const names = [stack.srsSecretsParameter, stack.tlsKeyParameter, stack.tlsCertParameter]
  return names.filter((name) => name !== undefined)
}

/**
 * The user data of a launch template: JSON in base64.
 * @throws {RangeError} when it is longer than EC2 accepts.
 */
export function userData(config: ReturnType<typeof instanceConfig>): string {
  const json = Buffer.from(JSON.stringify(config))
  if (json.length > USER_DATA_BYTES)
    throw new RangeError(
      `the instances' configuration is ${json.length} bytes long; user data holds at most ${USER_DATA_BYTES}`,
    )
  return json.toString('base64')
}
