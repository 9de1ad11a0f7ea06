// What the tests of the queue on AWS share. Owns: options of an engine that looks often and puts aside shortly, so that
// a test waits for little.
import type { AwsQueueOptions } from '../../../../server/queue/aws/engine.ts'
import type { Endpoints, Stores } from '../../../fakes/aws-queue.ts'

export type Over = Partial<Omit<AwsQueueOptions, 'queue'>> & { queue?: Partial<AwsQueueOptions['queue']> }

export function optionsFor(endpoints: Endpoints, stores: Stores, over: Over = {}): AwsQueueOptions {
  const { queue = {}, ...rest } = over
  const bounds = { maxEntries: 1_000_000, inlineBytes: 131_072, waitSeconds: 0, statsMs: 50 }
  return {
    aws: { region: 'eu-west-1', endpoints },
    asideSeconds: 1,
    ...rest,
    queue: { ...stores.queue, ...bounds, ...queue },
  }
}
