// How a lease ends. Owns: the order of the steps, so that whoever is cut between two of them leaves something that the
// next receiver of the message finishes: the outcome, and what it owes, is one write to DynamoDB; then the DSN and the
// copy for a later attempt are sent; then the message is deleted. Each step can be repeated without harm: a second DSN has
// the same id, a second copy the same generation, and of those only one is worked on.
// Fails with the SDK's error as long as the outcome is not stored. What fails after that is reported, not thrown.
import type { Lease } from '../entry.ts'
import { assertTime, createEntry } from '../new-entry.ts'
import type { Dsn, Settlement } from '../queue.ts'
import type { AwsEngine, LeaseState } from './types.ts'
import { liveState, track } from './lease-state.ts'
import { laterCopy, pack, type SqsMessage } from './message.ts'
import type { SettledState, PendingSends } from './delivery-state.ts'

/** A DSN waits in the item of its entry, which takes 400 KB with everything in it. */
const NOTICE_INLINE_BYTES = 65_536

/** The message that an entry came in, and whether its body is in the bucket. */
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

/** Nothing was ever stored about this entry, and nothing needs to be. */
async function removeAtOnce(engine: AwsEngine, lease: Lease, held: LeaseState): Promise<boolean> {
  const { sqs, config, onError } = engine
  try {
    const removed = await sqs.remove(config.readyUrl, held.receipt)
    engine.leaseStates.delete(lease)
    return removed
  } catch (error) {
    // It will be received again: by then it has to be known that there is nothing left to do.
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

/** The DSN as a message, its body in the bucket if it is large. The same one each time it is asked for. */
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

/** Sends what a settled entry owes and deletes the message it came in. Anyone who has received that message may. */
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
  // The bucket's lifecycle takes what stays.
  await bodies.remove(id).catch((error: unknown) => onError('remove-body', error))
}
