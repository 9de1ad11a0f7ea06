// What the holder of a lease may do. Owns: the check that a holder without a lease changes nothing. Every
// change first checks the lease by the monotonic clock. For a tracked entry, the item in DynamoDB decides.
// Fails with the SDK's error. The lease is then unchanged, or was extended without the holder's knowledge.
import type { Destination, Lease } from '../entry.ts'
import type { AwsEngine, LeaseState } from './types.ts'

/** Undefined if the lease was lost, settled or released. */
export function liveState({ leaseStates, monotonic }: AwsEngine, lease: Lease): LeaseState | undefined {
  return lease.monotonicExpiresMs > monotonic() ? leaseStates.get(lease) : undefined
}

/** Moves the lease's state to DynamoDB. False: the lease was lost. */
export async function track({ states }: AwsEngine, lease: Lease, held: LeaseState): Promise<boolean> {
  if (held.tracked) return true
  const { entry, token, expiresMs: heldUntilMs } = lease
  const { id, attempts: generation, destinations } = entry
  const { kind } = await states.claim(id, { token, generation, heldUntilMs, destinations })
  held.tracked = kind === 'claimed'
  return held.tracked
}

/** See {@link Queue.body}. */
export async function bodyOf({ leaseStates, bodies }: AwsEngine, lease: Lease): Promise<Buffer> {
  const known = leaseStates.get(lease)
  if (known === undefined) throw new Error(`entry ${lease.entry.id} is gone: its lease was lost`)
  return known.body ?? bodies.get(lease.entry.id)
}

/** See {@link Queue.extend}. */
export async function extend(engine: AwsEngine, lease: Lease, leaseMs: number): Promise<boolean> {
  const { sqs, config, now, monotonic, states } = engine
  const held = liveState(engine, lease)
  if (held === undefined) return false
  const monotonicExpiresMs = monotonic() + leaseMs
  const expiresMs = now() + leaseMs
  const { tracked } = held
  if (tracked && !(await states.extend(lease.entry.id, lease.token, expiresMs))) return false
  const hidden = await sqs.changeVisibility(config.readyUrl, held.receipt, Math.ceil(leaseMs / 1_000))
  // The message of a tracked entry may be visible again. Its receiver finds the entry leased.
  if (!hidden && !tracked) return false
  Object.assign(lease, { expiresMs, monotonicExpiresMs })
  return true
}

/** See {@link Queue.record}. */
export async function record(engine: AwsEngine, lease: Lease, destinations: Destination[]): Promise<boolean> {
  const held = liveState(engine, lease)
  if (held === undefined || !(await track(engine, lease, held))) return false
  return engine.states.record(lease.entry.id, lease.token, destinations)
}

/** See {@link Queue.release}. */
export async function release(engine: AwsEngine, lease: Lease): Promise<void> {
  const { sqs, config, states } = engine
  const held = liveState(engine, lease)
  if (held === undefined) return
  if (held.tracked && !(await states.release(lease.entry.id, lease.token))) return
  await sqs.changeVisibility(config.readyUrl, held.receipt, 0)
  engine.leaseStates.delete(lease)
}
