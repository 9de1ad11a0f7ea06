// SQS, S3 and DynamoDB for tests: fauxqs and dynalite in this process, on real sockets, with the real SDK. Owns: their
// start and end, and the queues, bucket and table that an instance's configuration names.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import dynalite from 'dynalite'
import { startFauxqs, type FauxqsServer } from 'fauxqs'
import { createTable } from './table.ts'

/** Credentials for a process with the SDK. The emulators accept any key. */
export const EMULATOR_ENV = {
  AWS_ACCESS_KEY_ID: 'test',
  AWS_SECRET_ACCESS_KEY: 'test',
  AWS_REGION: 'eu-west-1',
} as const

export type Endpoints = { sqs: string; s3: string; dynamodb: string }

/** The stores of one fleet: the `queue` part of a configuration, and the names of the queues. */
export type Stores = {
  queue: { engine: 'aws'; readyUrl: string; deferredUrl: string; table: string; bucket: string }
  /** For `inspectQueue` of fauxqs. */
  names: { ready: string; deferred: string; deadLetters: string }
}

export type AwsQueue = {
  fauxqs: FauxqsServer
  /** For `aws.endpoints` in a configuration. */
  endpoints: Endpoints
  /** Creates stores for one test. `maxReceiveCount` of the redrive policy is 12 by default. */
  createStores: (maxReceiveCount?: number) => Promise<Stores>
  /** Messages in the dead-letter queue of `stores`. */
  deadLetters: (stores: Stores) => number
  stop: () => Promise<void>
}

/** Starts the emulators, and sets the credentials of this process's own SDK. */
export async function startAwsQueue(): Promise<AwsQueue> {
  Object.assign(process.env, EMULATOR_ENV)
  const fauxqs = await startFauxqs({ port: 0, logger: false, defaultRegion: EMULATOR_ENV.AWS_REGION })
  const dynamo = dynalite({ createTableMs: 0 })
  dynamo.listen(0, '127.0.0.1')
  await once(dynamo, 'listening')
  const sqs = `http://127.0.0.1:${fauxqs.port}`
  const dynamodb = `http://127.0.0.1:${(dynamo.address() as AddressInfo).port}`
  const tables = new DynamoDBClient({ endpoint: dynamodb })
  return {
    fauxqs,
    endpoints: { sqs, s3: sqs, dynamodb },
    createStores: async (maxReceiveCount = 12) => {
      const name = `mail-${randomBytes(6).toString('hex')}`
      await createTable(tables, name)
      return createQueues(fauxqs, sqs, name, maxReceiveCount)
    },
    deadLetters: ({ names }) => {
      const { ready = [], inflight = [] } = fauxqs.inspectQueue(names.deadLetters)?.messages ?? {}
      return ready.length + inflight.length
    },
    stop: async () => {
      tables.destroy()
      await fauxqs.stop()
      dynamo.closeAllConnections()
      await new Promise((resolve) => dynamo.close(resolve))
    },
  }
}

function createQueues(fauxqs: FauxqsServer, url: string, name: string, maxReceiveCount: number): Stores {
  const names = { ready: `${name}-ready`, deferred: `${name}-deferred`, deadLetters: `${name}-dead-letters` }
  const deadLetterTargetArn = fauxqs.createQueue(names.deadLetters).queueArn
  const RedrivePolicy = JSON.stringify({ deadLetterTargetArn, maxReceiveCount })
  for (const queue of [names.ready, names.deferred])
    fauxqs.createQueue(queue, { attributes: { RedrivePolicy } })
  fauxqs.createBucket(name)
  return {
    queue: {
      engine: 'aws',
      readyUrl: `${url}/000000000000/${names.ready}`,
      deferredUrl: `${url}/000000000000/${names.deferred}`,
      table: name,
      bucket: name,
    },
    names,
  }
}
