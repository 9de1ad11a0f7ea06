// Opens the queue that the configuration names. Owns: which engine that is.
// The engine for AWS, and the SDK with it, is loaded only where it is used.
import type { Config } from '../config.ts'
import { openQueue } from './embedded.ts'
import type { Queue } from './queue.ts'

/**
 * @param onError told of what goes wrong in the background, on AWS: `where` names the step
 * @throws {InputError} if the queue cannot be used as configured. That AWS does not answer is no such thing.
 */
export async function openConfigured(
  { queue, aws }: Config,
  onError: (where: string, error: unknown) => void = () => {},
): Promise<Queue> {
  if (queue.engine === 'embedded') return openQueue(queue)
  const { openAwsQueue } = await import('./aws/engine.ts')
  return openAwsQueue({ queue, aws, onError })
}
