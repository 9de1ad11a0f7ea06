// Ends leases. Owns: the order of the steps, so that the next receiver can finish after a crash between any
// two.
// 1. One write to DynamoDB stores the settlement and its pending sends.
// 2. The DSN, and the copy for a later attempt, are sent.
// 3. The message is deleted.
// Each step is idempotent. A second DSN has the same id. Of two copies of a generation, only one is worked
// on.
// Fails with the SDK's error until the settlement is stored. Later errors go to `onError`.
import type { Lease } from '../entry.ts'
import { assertTime, createEntry } from '../new-entry.ts'
import type { Dsn, Settlement } from '../queue.ts'
import type { AwsEngine, LeaseState } from './types.ts'
import { liveState, track } from './lease-state.ts'
import { laterCopy, pack, type SqsMessage } from './message.ts'
import type { SettledState, PendingSends } from './delivery-state.ts'

/** Most bytes of a DSN in its entry's item, which takes 400 KB in all. */
const NOTICE_INLINE_BYTES = 65_536

/** The message that carried an entry, and whether its body is in the bucket. */
export type SourceMessage = { receipt: string; message: SqsMessage; inBucket: boolean }

/** See {@link Queue.settle}. */
export async function settle(
  engine: AwsEngine,
  lease: Lease,
  settlement: Settlement,
  dsn?: Dsn,
): Promise<boolean> {
  if (settlement.kind === 'reschedule') assertTime(settlement.dueMs)
  const held = liveState(engine, lease)
  if (held === undefined) return false
  if (settlement.kind === 'remove' && dsn === undefined && !held.tracked)
    return removeAtOnce(engine, lease, held)
  if (!(await track(engine, lease, held))) return false
  const notice = dsn === undefined ? undefined : await noticeOf(engine, held, dsn)
  return settleTracked(engine, lease, held, settledBy(lease, settlement, notice))
}

/** Nothing about this entry is stored in DynamoDB, and nothing needs to be. */
async function removeAtOnce(engine: AwsEngine, lease: Lease, held: LeaseState): Promise<boolean> {
  const { sqs, config, onError } = engine
  try {
    const removed = await sqs.remove(config.readyUrl, held.receipt)
    engine.leaseStates.delete(lease)
    return removed
  } catch (error) {
    // SQS will deliver the message again. DynamoDB must say by then that nothing is left to do.
    if (!(await track(engine, lease, held))) return false
    onError('remove', error)
    return settleTracked(engine, lease, held, settledBy(lease, { kind: 'remove' }, undefined))
  }
}

function settledBy({ entry }: Lease, settlement: Settlement, notice: SqsMessage | undefined): SettledState {
  const owed = notice === undefined ? {} : { notice }
  if (settlement.kind === 'remove') {
    const unfinished = notice === undefined ? undefined : owed
    return { generation: entry.attempts, done: true, unfinished }
  }
  const { dueMs, destinations } = settlement
  const generation = entry.attempts + 1
  return { generation, done: false, destinations, unfinished: { ...owed, copy: { generation, dueMs } } }
}

async function settleTracked(
  engine: AwsEngine,
  lease: Lease,
  held: LeaseState,
  settled: SettledState,
): Promise<boolean> {
  const { id } = lease.entry
  const stored = await engine.states.settle(id, lease.token, settled)
  engine.leaseStates.delete(lease)
  if (!stored) return false
  try {
    await finish(engine, id, { ...held, inBucket: held.body === null }, settled)
  } catch (error) {
    engine.onError('finish', error)
  }
  return true
}

/** The DSN as a message, its body in the bucket if it is large. Every call returns the same one. */
async function noticeOf({ bodies, config, now }: AwsEngine, held: LeaseState, dsn: Dsn): Promise<SqsMessage> {
  if (held.notice !== undefined) return held.notice
  const entry = createEntry(dsn.entry, dsn.body, now())
  const inlineBytes = Math.min(NOTICE_INLINE_BYTES, config.inlineBytes)
  const { message, inline } = pack(entry, dsn.body, inlineBytes, { tracked: true })
  if (!inline) await bodies.put(entry.id, dsn.body)
  held.notice = message
  return message
}

type Owing = { generation: number; done: boolean; unfinished?: PendingSends | undefined }

/** Does the pending sends of a settled entry and deletes its message. Every receiver of that message may do this. */
export async function finish(
  engine: AwsEngine,
  id: string,
  carrier: SourceMessage,
  settled: Owing,
): Promise<void> {
  const { bodies, sqs, config, onError, sender, states } = engine
  const { generation, done, unfinished } = settled
  if (unfinished !== undefined) {
    const { notice, copy } = unfinished
    if (notice !== undefined) await sender.send(notice, { repeat: true })
    if (copy !== undefined) await sender.send(laterCopy(carrier.message, copy), { repeat: true })
    await states.clearPendingSends(id, generation)
  }
  await sqs.remove(config.readyUrl, carrier.receipt)
  if (!done || !carrier.inBucket) return
  // The bucket's lifecycle rule deletes a body that stays.
  await bodies.remove(id).catch((error: unknown) => onError('remove-body', error))
}
