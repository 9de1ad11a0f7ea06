// What an instance is told at launch: the launch template's user data. Configuration only: secrets are named, never
// carried, since whoever may describe a launch template reads its user data.
// Owns: how a stack's configuration becomes the server's. Fails when it does not fit into user data.
import type { StackConfig } from '../stack-config.ts'
import { ADMIN_PORT, FIRST_PASSED_FD } from '../../contract/ports.ts'
import { ROUTES_KEY } from '../../contract/storage-names.ts'
import { LAUNCH_HOOK, TERMINATE_HOOK } from '../../contract/lifecycle-hooks.ts'

/** EC2's bound on user data, before it is encoded. */
const USER_DATA_BYTES = 16_384
/**
 * Deregistration ends before the terminate hook begins: its delay is one drain, a Network Load Balancer takes up to
 * 300 s more. The rest is reserve.
 */
const DEREGISTRATION_MS = 600_000

/** What exists once the stack's queue does. */
export type QueueResources = {
  region: string
  readyUrl: string
  deferredUrl: string
  table: string
  bucket: string
}

/** The configuration of every instance of a stack, in the server's schema. */
export function instanceConfig(stack: StackConfig, places: QueueResources) {
  const { region, ...queue } = places
  const { tlsKeyParameter: keyParameter, tlsCertParameter: certParameter } = stack
  const { srsAcknowledgeAligned: acknowledgeAligned } = stack
  return {
    hostname: stack.hostname,
    postmaster: stack.postmaster,
    listen: { smtp: { fd: FIRST_PASSED_FD }, admin: { host: '0.0.0.0', port: ADMIN_PORT } },
    queue: { engine: 'aws', ...queue, maxEntries: stack.maxEntries },
    aws: { region },
    routes: { bucket: places.bucket, key: ROUTES_KEY, pollMs: 10_000 },
    srs: {
      domain: stack.srsDomain,
      ...(acknowledgeAligned === undefined ? {} : { acknowledgeAligned }),
      secretsParameter: stack.srsSecretsParameter,
    },
    ...(keyParameter === undefined || certParameter === undefined
      ? {}
      : { tls: { keyParameter, certParameter } }),
    // The scaling policy reckons with this number, so the server runs with it.
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

/** Names of the SSM parameters that the instances of a stack read. */
export function instanceParameters(stack: StackConfig): string[] {
  const names = [stack.srsSecretsParameter, stack.tlsKeyParameter, stack.tlsCertParameter]
  return names.filter((name) => name !== undefined)
}

/**
 * User data as a launch template takes it: JSON in base64.
 * @throws {RangeError} when it is longer than EC2 accepts.
 */
export function userData(config: ReturnType<typeof instanceConfig>): string {
  const json = Buffer.from(JSON.stringify(config))
  if (json.length > USER_DATA_BYTES)
    throw new RangeError(
      `the instances' configuration is ${json.length} bytes long; user data holds ${USER_DATA_BYTES}`,
    )
  return json.toString('base64')
}
