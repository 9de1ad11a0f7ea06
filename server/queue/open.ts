// Opens the queue that the configuration names. Owns: which engine that is.
// The engine for AWS, and the SDK with it, is loaded only where it is used.
import type { Config } from '../config/schema.ts'
import type { CommitTimes } from './embedded/durable.ts'
import { longestWait } from '../delivery/retry-schedule.ts'
import { openEmbeddedQueue } from './embedded/engine.ts'
import { openWhenSpoolUsable } from './embedded/late-spool.ts'
import type { Queue } from './queue.ts'

export type QueueListener = {
  /** Told of what goes wrong in the background: `where` names the step. */
  onError?: (where: string, error: unknown) => void
  /** Told how long each transaction of the embedded queue took. */
  onCommit?: (times: CommitTimes) => void
}

/**
 * @throws {InputError} if the queue cannot be used as configured. That AWS does not answer, or that the disk is full or
 * read-only, is no such thing.
 */
export async function openQueue(
  { queue, aws, retry }: Config,
  { onError = () => {}, onCommit = () => {} }: QueueListener = {},
): Promise<Queue> {
  const longestWaitMs = (attempts: number) => longestWait(retry, attempts)
  if (queue.engine === 'embedded')
    return openWhenSpoolUsable(
      () => openEmbeddedQueue({ ...queue, onCommit, onError, longestWaitMs }),
      onError,
    )
  const { openAwsQueue } = await import('./aws/engine.ts')
  return openAwsQueue({ queue, aws, onError, longestWaitMs })
}
