// The schema of the server's configuration file. Owns: names, units and bounds of the keys, and their defaults;
// reference.ts says why. Fails with InputError, which lists every problem, before the server opens or writes anything.
import * as v from 'valibot'
import { DEFAULT_LEASE_MS, MAX_RETRY_LIFETIME_DAYS } from '../../contract/queue-times.ts'
import { checkInput } from '../../input/problems.ts'
import { parseAddress } from '../address.ts'
import {
  absolutePath,
  awsName,
  countOf,
  DAY_MS,
  fullHostName,
  hostOrAddress,
  HOUR_MS,
  mailboxAddress,
  MIB_BYTES,
  milliseconds,
  MINUTE_MS,
  ssmParameter,
  tcpPort,
  SECOND_MS,
  httpUrl,
} from './values.ts'
import { srsSchema } from './srs.ts'

const smtpListenSchema = v.pipe(
  v.strictObject({
    host: v.optional(hostOrAddress, '0.0.0.0'),
    port: v.optional(tcpPort),
    fd: v.optional(countOf('descriptor', 3, 1023)),
  }),
  v.check(({ port, fd }) => (port === undefined) !== (fd === undefined), 'either a port or an fd'),
)

const adminListenSchema = v.pipe(
  v.strictObject({
    host: v.optional(hostOrAddress, '127.0.0.1'),
    port: v.optional(tcpPort),
    socket: v.optional(absolutePath('a socket')),
  }),
  v.check(({ port, socket }) => (port === undefined) !== (socket === undefined), 'either a port or a socket'),
)

const embeddedQueueSchema = v.pipe(
  v.strictObject({
    engine: v.optional(v.literal('embedded'), 'embedded'),
    path: absolutePath('the spool directory'),
    volatile: v.optional(v.boolean(), false),
    maxEntries: v.optional(countOf('entries', 1, 100_000_000), 100_000),
    maxBytes: v.optional(countOf('bytes', MIB_BYTES, 2 ** 46), 10_737_418_240),
    flush: v.optional(v.boolean(), true),
  }),
  v.forward(
    v.partialCheck(
      [['flush'], ['volatile']],
      ({ flush, volatile }) => flush || volatile,
      'true, or volatile: true beside it',
    ),
    ['flush'],
  ),
)

const awsQueueSchema = v.strictObject({
  engine: v.literal('aws'),
  readyUrl: httpUrl,
  deferredUrl: httpUrl,
  table: awsName('the name of a DynamoDB table'),
  bucket: awsName('the name of an S3 bucket'),
  maxEntries: v.optional(countOf('entries', 1, 100_000_000), 1_000_000),
  inlineBytes: v.optional(countOf('bytes', 0, 700_000), 128 * 1_024),
  waitSeconds: v.optional(countOf('seconds', 0, 20), 5),
  statsMs: v.optional(milliseconds(50, MINUTE_MS), 5 * SECOND_MS),
})

const queueSchema = v.variant('engine', [embeddedQueueSchema, awsQueueSchema])

const awsSchema = v.strictObject({
  region: v.optional(awsName('the name of a region, such as eu-west-1')),
  endpoints: v.optional(
    v.strictObject({
      sqs: v.optional(httpUrl),
      s3: v.optional(httpUrl),
      dynamodb: v.optional(httpUrl),
      ssm: v.optional(httpUrl),
      autoscaling: v.optional(httpUrl),
      metadata: v.optional(httpUrl),
    }),
    {},
  ),
})

const routesSchema = v.pipe(
  v.strictObject({
    file: v.optional(absolutePath('the routes file')),
    bucket: v.optional(awsName('the name of an S3 bucket')),
    key: v.optional(awsName('the key of the routes in the bucket')),
    pollMs: v.optional(milliseconds(10, HOUR_MS)),
  }),
  v.check(
    ({ file, bucket, key }) =>
      file === undefined ? bucket !== undefined && key !== undefined : !bucket && !key,
    'either a file, or a bucket and a key',
  ),
  v.transform(({ file, bucket = '', key = '', pollMs }) =>
    file !== undefined
      ? ({ kind: 'file', file, pollMs: pollMs ?? SECOND_MS } as const)
      : ({ kind: 's3', bucket, key, pollMs: pollMs ?? 10 * SECOND_MS } as const),
  ),
)

const limitsSchema = v.strictObject({
  messageBytes: v.optional(countOf('bytes', 1_024, 256 * MIB_BYTES), 35 * MIB_BYTES),
  headerBytes: v.optional(countOf('bytes', 1_024, 16 * MIB_BYTES), MIB_BYTES / 4),
  recipients: v.optional(countOf('recipients', 1, 10_000), 100),
  destinations: v.optional(countOf('destinations', 1, 10_000), 200),
  connections: v.optional(countOf('connections', 1, 100_000), 1_000),
  connectionsPerClient: v.optional(countOf('connections', 1, 100_000), 100),
  fullIdleMs: v.optional(milliseconds(100, HOUR_MS), 10 * SECOND_MS),
  fullCommandsMs: v.optional(milliseconds(100, HOUR_MS), MINUTE_MS),
  refusedWindowMs: v.optional(milliseconds(100, HOUR_MS), MINUTE_MS),
  bufferedBytes: v.optional(countOf('bytes', MIB_BYTES, 2 ** 40), 256 * MIB_BYTES),
  readyEntries: v.optional(countOf('entries', 1, 100_000_000), 20_000),
  receivedHeaders: v.optional(countOf('header fields', 5, 1_000), 50),
  rejectedRecipients: v.optional(countOf('recipients', 1, 10_000), 50),
  nulOctets: v.optional(v.picklist(['refuse', 'strip'], 'refuse or strip'), 'refuse'),
  bouncesPerHour: v.optional(countOf('bounces', 1, 1_000_000), 100),
  idleMs: v.optional(milliseconds(100, HOUR_MS), 5 * MINUTE_MS),
  commandsMs: v.optional(milliseconds(100, 6 * HOUR_MS), 10 * MINUTE_MS),
  dataMs: v.optional(milliseconds(1_000, 6 * HOUR_MS), 10 * MINUTE_MS),
})

const deliverySchema = v.strictObject({
  concurrency: v.optional(countOf('deliveries', 1, 10_000), 10),
  relay: v.optional(v.strictObject({ host: hostOrAddress, port: v.optional(tcpPort, 25) })),
  mxPort: v.optional(tcpPort, 25),
  dnsServers: v.optional(
    v.pipe(
      v.array(hostOrAddress),
      v.minLength(1, 'at least one resolver'),
      v.maxLength(10, 'at most 10 resolvers'),
    ),
  ),
  allowLocalAddresses: v.optional(v.boolean(), false),
  dnsMs: v.optional(milliseconds(100, MINUTE_MS), 10 * SECOND_MS),
  connectMs: v.optional(milliseconds(100, 10 * MINUTE_MS), 30 * SECOND_MS),
  greetingMs: v.optional(milliseconds(100, 10 * MINUTE_MS), MINUTE_MS),
  socketMs: v.optional(milliseconds(100, HOUR_MS), 10 * MINUTE_MS),
  transactionMs: v.optional(milliseconds(100, 6 * HOUR_MS), 30 * MINUTE_MS),
  idleMs: v.optional(milliseconds(0, 5 * MINUTE_MS), 5 * SECOND_MS),
  messagesPerConnection: v.optional(countOf('messages', 1, 10_000), 100),
  leaseMs: v.optional(milliseconds(1_000, 10 * MINUTE_MS), DEFAULT_LEASE_MS),
  pollMs: v.optional(milliseconds(10, MINUTE_MS), 200),
})

/** RFC 5321 section 4.5.4.1: at least 30 minutes apart in the long run, give up after 4 to 5 days. */
const retrySchema = v.strictObject({
  firstMs: v.optional(milliseconds(10, DAY_MS), MINUTE_MS),
  maxMs: v.optional(milliseconds(10, DAY_MS), 2 * HOUR_MS),
  jitter: v.optional(
    v.pipe(v.number(), v.minValue(0, 'a share, 0 to 0.9'), v.maxValue(0.9, 'a share, 0 to 0.9')),
    0.2,
  ),
  lifetimeMs: v.optional(milliseconds(100, MAX_RETRY_LIFETIME_DAYS * DAY_MS), 5 * DAY_MS),
})

const tlsSchema = v.pipe(
  v.strictObject({
    keyFile: v.optional(absolutePath('a PEM key')),
    certFile: v.optional(absolutePath('a PEM certificate')),
    keyParameter: v.optional(ssmParameter),
    certParameter: v.optional(ssmParameter),
  }),
  v.check(
    ({ keyFile, certFile, keyParameter, certParameter }) =>
      keyFile !== undefined
        ? certFile !== undefined && !keyParameter && !certParameter
        : certFile === undefined && keyParameter !== undefined && certParameter !== undefined,
    'either keyFile and certFile, or keyParameter and certParameter',
  ),
)

const fleetSchema = v.strictObject({
  name: awsName('the name of the fleet'),
  launchHook: awsName('the name of the lifecycle hook of launching instances'),
  terminateHook: awsName('the name of the lifecycle hook of terminating instances'),
  pollMs: v.optional(milliseconds(50, MINUTE_MS), 5 * SECOND_MS),
  heartbeatMs: v.optional(milliseconds(50, HOUR_MS), MINUTE_MS),
  launchWaitMs: v.optional(milliseconds(0, 6 * HOUR_MS), 30 * MINUTE_MS),
  terminateWaitMs: v.optional(milliseconds(0, 2 * HOUR_MS), 15 * MINUTE_MS),
  reportMs: v.optional(milliseconds(50, MINUTE_MS), 10 * SECOND_MS),
})

/** A DynamoDB item holds 400 KB. A destination with a reply of 512 characters takes up to 1.4 KB uncompressed. */
const AWS_DESTINATIONS = 300

export const configSchema = v.pipe(
  v.strictObject({
    hostname: fullHostName,
    postmaster: mailboxAddress,
    listen: v.strictObject({ smtp: smtpListenSchema, admin: adminListenSchema }),
    queue: queueSchema,
    aws: v.optional(awsSchema, {}),
    routes: routesSchema,
    srs: srsSchema,
    limits: v.optional(limitsSchema, {}),
    delivery: v.optional(deliverySchema, {}),
    retry: v.optional(retrySchema, {}),
    drain: v.optional(
      v.strictObject({ timeoutMs: v.optional(milliseconds(100, HOUR_MS), 30 * SECOND_MS) }),
      {},
    ),
    tls: v.optional(tlsSchema),
    fleet: v.optional(fleetSchema),
  }),
  v.forward(
    v.partialCheck(
      [['queue'], ['limits']],
      ({ queue, limits }) => queue.engine !== 'aws' || limits.destinations <= AWS_DESTINATIONS,
      `at most ${AWS_DESTINATIONS} destinations with the queue on AWS`,
    ),
    ['limits', 'destinations'],
  ),
  v.forward(
    v.partialCheck(
      [['hostname'], ['postmaster'], ['srs', 'domain']],
      ({ hostname, postmaster, srs }) => {
        const { domain = '' } = parseAddress(postmaster) ?? {}
        return domain !== hostname && domain !== srs.domain
      },
      'a mailbox elsewhere than at this server’s own names',
    ),
    ['postmaster'],
  ),
)

/** A checked configuration with every default. */
export type Config = v.InferOutput<typeof configSchema>

/**
 * Checks a configuration from `file`, or one that will be written there.
 * @throws {InputError} with every invalid key.
 */
export function checkConfig(file: string, value: unknown): Config {
  return checkInput(file, configSchema, value)
}
