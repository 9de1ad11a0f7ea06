// Engines for the tests of the queue on AWS. Owns: options with short intervals, and an engine behind a proxy that can
// fail.
import type { TestContext } from 'node:test'
import { openAwsQueue } from '../../../server/queue/aws/engine.ts'
import type { AwsQueueOptions } from '../../../server/queue/aws/types.ts'
import type { Queue } from '../../../server/queue/queue.ts'
import { startAwsProxy, THROTTLED, UNAVAILABLE, type AwsProxy, type AwsFault } from '../aws/aws-proxy.ts'
import type { AwsQueue, Endpoints, Stores } from '../aws/aws-queue.ts'

export type Over = Partial<Omit<AwsQueueOptions, 'queue'>> & { queue?: Partial<AwsQueueOptions['queue']> }

export function optionsFor(endpoints: Endpoints, stores: Stores, over: Over = {}): AwsQueueOptions {
  const { queue = {}, ...rest } = over
  const bounds = { maxEntries: 1_000_000, inlineBytes: 131_072, waitSeconds: 0, statsMs: 50 }
  return {
    aws: { region: 'eu-west-1', endpoints },
    unknownDelaySeconds: 1,
    ...rest,
    queue: { ...stores.queue, ...bounds, ...queue },
  }
}

/** The three ways in which a service can be down. */
export const DOWN: readonly [string, AwsFault][] = [
  ['does not answer', 'cut'],
  ['is unavailable', UNAVAILABLE],
  ['throttles', THROTTLED],
]

export type Faulty = { queue: Queue; proxy: AwsProxy; errors: string[]; stores: Stores }

/** An engine behind a proxy, on its own stores or the given ones; `errors` are those of its background work. */
export async function faultyQueue(
  t: TestContext,
  emulators: AwsQueue,
  over: Over & { stores?: Stores } = {},
): Promise<Faulty> {
  const { stores = await emulators.createStores(), ...options } = over
  const proxy = await startAwsProxy(emulators.endpoints)
  const errors: string[] = []
  const onError = (where: string, error: unknown) => void errors.push(`${where}: ${String(error)}`)
  const queue = await openAwsQueue(optionsFor(proxy.endpoints, stores, { onError, ...options }))
  t.after(async () => {
    await queue.close()
    await proxy.stop()
  })
  return { queue, proxy, errors, stores }
}

/** Another client of the same stores, without faults. */
export async function soundQueue(
  t: TestContext,
  emulators: AwsQueue,
  stores: Stores,
  over: Over = {},
): Promise<Queue> {
  const queue = await openAwsQueue(optionsFor(emulators.endpoints, stores, over))
  t.after(() => queue.close())
  return queue
}
