// Opens the queue that the configuration names. Owns: the choice of the engine.
// The module for AWS, and with it the SDK, is loaded only when that engine is configured.
import type { Config } from '../config/schema.ts'
import type { CommitTimes } from './embedded/durable.ts'
import { longestWait } from '../delivery/retry-schedule.ts'
import { openEmbeddedQueue } from './embedded/engine.ts'
import { openWhenSpoolUsable } from './embedded/late-spool.ts'
import type { Queue } from './queue.ts'

export type QueueListener = {
  /** Gets each error that happens in the background; `where` names the step. */
  onError?: (where: string, error: unknown) => void
  /** Gets the duration of each transaction of the embedded queue. */
  onCommit?: (times: CommitTimes) => void
}

/**
 * @throws {InputError} if the configuration does not fit the queue. It does not throw when AWS does not answer, or when
 * the disk is full or read-only.
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
