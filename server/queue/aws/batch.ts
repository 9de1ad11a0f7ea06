// Splits messages into batch calls of SQS and gives each message its result. Pure, apart from the call that it gets. When
// a whole call fails, each of its messages gets that error.
import type { BatchResultErrorEntry } from '@aws-sdk/client-sqs'

/** Most messages in one call. */
const BATCH_COUNT = 10

/**
 * Most bytes of all texts in one call. SQS takes 1 MiB, older emulators 256 KiB. Attributes take less than 1 KiB a
 * message.
 */
const BATCH_BYTES = 262_144 - BATCH_COUNT * 1_024

export type BatchCall<T> = (
  entries: { id: string; item: T }[],
) => Promise<{ Failed?: BatchResultErrorEntry[] | undefined }>

/**
 * Makes calls, one after another, until each item was in one.
 * @param bytesOf the length of the item's text
 * @returns for each item in order its error; undefined if it succeeded
 */
export async function inBatches<T>(
  items: readonly T[],
  bytesOf: (item: T) => number,
  call: BatchCall<T>,
): Promise<(Error | undefined)[]> {
  const errors: (Error | undefined)[] = []
  for (const batch of batchesOf(items, bytesOf)) {
    try {
      const { Failed = [] } = await call(batch.map((item, index) => ({ id: String(index), item })))
      const failed = new Map(Failed.map((entry) => [entry.Id, errorOf(entry)]))
      errors.push(...batch.map((_item, index) => failed.get(String(index))))
    } catch (cause) {
      const error = cause instanceof Error ? cause : new Error(String(cause), { cause })
      errors.push(...batch.map(() => error))
    }
  }
  return errors
}

/** Keeps the order. An item above the limit gets a batch of its own. */
export function batchesOf<T>(items: readonly T[], bytesOf: (item: T) => number): T[][] {
  const batches: T[][] = []
  let bytes = 0
  for (const item of items) {
    const last = batches.at(-1)
    bytes += bytesOf(item)
    if (last !== undefined && last.length < BATCH_COUNT && bytes <= BATCH_BYTES) last.push(item)
    else {
      batches.push([item])
      bytes = bytesOf(item)
    }
  }
  return batches
}

/** Named as the SDK names the error of a call for one message. */
function errorOf({ Code = 'Error', Message = '' }: BatchResultErrorEntry): Error {
  return Object.assign(new Error(Message === '' ? Code : Message), { name: Code })
}
