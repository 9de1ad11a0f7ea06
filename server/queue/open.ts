// Opens the queue that the configuration names. Owns: which engine that is.
// The engine for AWS, and the SDK with it, is loaded only where it is used.
import type { Config } from '../config.ts'
import { openQueue } from './embedded.ts'
import type { Queue } from './queue.ts'

/** @throws {InputError} if the queue cannot be used as configured. */
export async function openConfigured({ queue }: Config): Promise<Queue> {
  if (queue.engine === 'embedded') return openQueue(queue)
  throw new Error('the engine for AWS is not part of this build')
}
