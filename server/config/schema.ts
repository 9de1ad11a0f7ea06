// What one server process is told: the schema of its configuration file, with every default and its arithmetic.
// Owns: names, bounds and units of the keys. A config that does not fit is an InputError that lists every
// problem at once; nothing has been opened or written by then.
import * as v from 'valibot'
import { checkInput } from '../../input/problems.ts'
import { parseAddress } from '../address.ts'
import {
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
  absolutePath,
  tcpPort,
  SECOND_MS,
  text,
  httpUrl,
} from './values.ts'
import { SrsSettings } from './srs.ts'

/** Where SMTP is served: an address to bind, or an inherited bound socket (systemd's first is 3). */
const SmtpListen = v.pipe(
  v.strictObject({
    host: v.optional(hostOrAddress, '0.0.0.0'),
    port: v.optional(tcpPort),
    fd: v.optional(countOf('descriptor', 3, 1023)),
  }),
  v.check(({ port, fd }) => (port === undefined) !== (fd === undefined), 'either a port or an fd'),
)

const AdminListen = v.pipe(
  v.strictObject({
    host: v.optional(hostOrAddress, '127.0.0.1'),
    port: v.optional(tcpPort),
    socket: v.optional(absolutePath('a socket')),
  }),
  v.check(({ port, socket }) => (port === undefined) !== (socket === undefined), 'either a port or a socket'),
)

const EmbeddedQueue = v.pipe(
  v.strictObject({
    engine: v.optional(v.literal('embedded'), 'embedded'),
    path: absolutePath('the spool directory'),
    volatile: v.optional(v.boolean(), false),
    // 100,000 entries of a typical 75 KB are 7.5 GB, inside the 10 GiB beside it.
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

const AwsQueue = v.strictObject({
  engine: v.literal('aws'),
  readyUrl: httpUrl,
  deferredUrl: httpUrl,
  /** DynamoDB table of where destinations stand, and of load reports. */
  table: text('the name of a DynamoDB table'),
  /** S3 bucket of the bodies that are too large for a queue message. */
  bucket: text('the name of an S3 bucket'),
  // SQS has no bound of its own; this one is two orders of magnitude above a bad day.
  maxEntries: v.optional(countOf('entries', 1, 100_000_000), 1_000_000),
  // In base64 171 KiB: three of SQS's billing units of 64 KiB to send and three to receive, less than one S3 PUT; and
  // below the 256 KiB that every SQS-compatible service takes.
  inlineBytes: v.optional(countOf('bytes', 0, 700_000), 128 * 1_024),
  // Long poll: what a drain may have to wait for, and what an idle instance asks for (0.2 requests a second).
  waitSeconds: v.optional(countOf('seconds', 0, 20), 5),
  // Two requests each time, by every instance; SQS's counts lag by more than this.
  statsMs: v.optional(milliseconds(50, MINUTE_MS), 5 * SECOND_MS),
})

const Queue = v.variant('engine', [EmbeddedQueue, AwsQueue])

/** Where AWS is, if not where the instance and its region say: for VPC endpoints and emulators. */
const Aws = v.strictObject({
  /** By default the region that the instance's metadata names. */
  region: v.optional(text('the name of a region, such as eu-west-1')),
  endpoints: v.optional(
    v.strictObject({
      sqs: v.optional(httpUrl),
      s3: v.optional(httpUrl),
      dynamodb: v.optional(httpUrl),
      ssm: v.optional(httpUrl),
      autoscaling: v.optional(httpUrl),
      /** The instance metadata service. */
      metadata: v.optional(httpUrl),
    }),
    {},
  ),
})

/** Routes in a file, or in an object of S3 that every instance of a fleet reads. */
const Routes = v.pipe(
  v.strictObject({
    file: v.optional(absolutePath('the routes file')),
    bucket: v.optional(text('the name of an S3 bucket')),
    key: v.optional(text('the key of the routes in the bucket')),
    pollMs: v.optional(milliseconds(10, HOUR_MS)),
  }),
  v.check(
    ({ file, bucket, key }) =>
      file === undefined ? bucket !== undefined && key !== undefined : !bucket && !key,
    'either a file, or a bucket and a key',
  ),
  v.transform(({ file, bucket = '', key = '', pollMs }) =>
    file !== undefined
      ? // Long enough to see an edit that is still being written as one that still changes.
        ({ kind: 'file', file, pollMs: pollMs ?? SECOND_MS } as const)
      : // 0.1 conditional requests a second cost about $0.10 a month and instance.
        ({ kind: 's3', bucket, key, pollMs: pollMs ?? 10 * SECOND_MS } as const),
  ),
)

const Limits = v.strictObject({
  // Gmail sends up to 25 MB of attachments; base64 in 76-character lines makes that 25 MB x 4/3 x 78/76 = 34.2 MB.
  messageBytes: v.optional(countOf('bytes', 1_024, 256 * MIB_BYTES), 35 * MIB_BYTES),
  // 2.5 times Postfix's 102,400: ARC sets and long Received chains of big senders stay below 60 KB.
  headerBytes: v.optional(countOf('bytes', 1_024, 16 * MIB_BYTES), MIB_BYTES / 4),
  // RFC 5321 section 4.5.3.1.8: at least 100.
  recipients: v.optional(countOf('recipients', 1, 10_000), 100),
  // What those recipients' aliases may fan out to; two destinations an alias on average.
  destinations: v.optional(countOf('destinations', 1, 10_000), 200),
  // A session at rest costs about 60 KB: 1,000 of them 60 MB.
  connections: v.optional(countOf('connections', 1, 100_000), 1_000),
  // Gmail's and Outlook's outbound pools open up to a few dozen from one address during a storm.
  connectionsPerClient: v.optional(countOf('connections', 1, 100_000), 100),
  // While the table of connections is full. Postfix's smtpd_timeout under stress: 10 s instead of 300 s.
  fullIdleMs: v.optional(milliseconds(100, HOUR_MS), 10 * SECOND_MS),
  // The same for a whole message's commands: six waits of fullIdleMs.
  fullCommandsMs: v.optional(milliseconds(100, HOUR_MS), MINUTE_MS),
  // A refused message counts as demand once in so long. The fleet's policy decides it.
  refusedWindowMs: v.optional(milliseconds(100, HOUR_MS), MINUTE_MS),
  // Messages being received are held in memory: 7 of the largest at once, or 65,536 of 4 KiB.
  bufferedBytes: v.optional(countOf('bytes', MIB_BYTES, 2 ** 40), 256 * MIB_BYTES),
  // Ready backlog beyond which MAIL is answered 451: at 10 deliveries of 0.5 s, 20/s, that is 17 minutes of work.
  readyEntries: v.optional(countOf('entries', 1, 100_000_000), 20_000),
  // Postfix's hopcount_limit; RFC 5321 section 6.3 asks for at least 100 only of loops counted by nothing else.
  receivedHeaders: v.optional(countOf('header fields', 5, 1_000), 50),
  // Unknown recipients in one session before it is closed: a list gone stale has a few, a dictionary thousands.
  rejectedRecipients: v.optional(countOf('recipients', 1, 10_000), 50),
  /** RFC 5322 section 4 forbids NUL octets. Stripped, a signature over them no longer verifies. */
  nulOctets: v.optional(v.picklist(['refuse', 'strip'], 'refuse or strip'), 'refuse'),
  // A sender of 100 messages an hour to a dead mailbox; a bounce address is no way to flood its sender.
  bouncesPerHour: v.optional(countOf('bounces', 1, 1_000_000), 100),
  // RFC 5321 section 4.5.3.2.7: a server waits at least 5 minutes for the next command.
  idleMs: v.optional(milliseconds(100, HOUR_MS), 5 * MINUTE_MS),
  // From the greeting, or a message's end, to the next DATA: 100 recipients of 3 s each, a wait of idleMs among them.
  commandsMs: v.optional(milliseconds(100, 6 * HOUR_MS), 10 * MINUTE_MS),
  // The largest message at 64 kB/s, a slow ADSL uplink: 36.7 MB / 64 kB/s = 573 s.
  dataMs: v.optional(milliseconds(1_000, 6 * HOUR_MS), 10 * MINUTE_MS),
})

const Delivery = v.strictObject({
  concurrency: v.optional(countOf('deliveries', 1, 10_000), 10),
  relay: v.optional(v.strictObject({ host: hostOrAddress, port: v.optional(tcpPort, 25) })),
  /** Port of MX deliveries; another than 25 only in tests and behind odd firewalls. */
  mxPort: v.optional(tcpPort, 25),
  /** Resolvers to ask instead of the system's, as `address` or `address:port`. */
  dnsServers: v.optional(
    v.pipe(
      v.array(hostOrAddress),
      v.minLength(1, 'at least one resolver'),
      v.maxLength(10, 'at most 10 resolvers'),
    ),
  ),
  /** Lets an MX point into loopback, link-local and private networks. Off: a stranger's DNS cannot aim us inwards. */
  allowLocalAddresses: v.optional(v.boolean(), false),
  dnsMs: v.optional(milliseconds(100, MINUTE_MS), 10 * SECOND_MS),
  connectMs: v.optional(milliseconds(100, 10 * MINUTE_MS), 30 * SECOND_MS),
  // RFC 5321 section 4.5.3.2.1: 5 minutes for the greeting; a slot held that long by a dead host is worth less here.
  greetingMs: v.optional(milliseconds(100, 10 * MINUTE_MS), MINUTE_MS),
  // RFC 5321 section 4.5.3.2.6: 10 minutes for the reply to the final dot.
  socketMs: v.optional(milliseconds(100, HOUR_MS), 10 * MINUTE_MS),
  // RFC 5321 section 4.5.3.2: 5 minutes for MAIL, 5 for RCPT, 2 for DATA, 10 for the reply to the dot; and 8 minutes
  // for the largest message at 75 kB/s. A host that drips its replies would otherwise hold a slot for as long as it likes.
  transactionMs: v.optional(milliseconds(100, 6 * HOUR_MS), 30 * MINUTE_MS),
  // Below the 10 s after which several large providers drop a silent session.
  idleMs: v.optional(milliseconds(0, 5 * MINUTE_MS), 5 * SECOND_MS),
  messagesPerConnection: v.optional(countOf('messages', 1, 10_000), 100),
  // How long a dead instance's work stays out of reach; extended every third of it while work goes on.
  leaseMs: v.optional(milliseconds(1_000, 10 * MINUTE_MS), 30 * SECOND_MS),
  pollMs: v.optional(milliseconds(10, MINUTE_MS), 200),
})

/** RFC 5321 section 4.5.4.1: at least 30 minutes apart in the long run, give up after 4 to 5 days. */
const Retry = v.strictObject({
  firstMs: v.optional(milliseconds(10, DAY_MS), MINUTE_MS),
  // 1, 2, 4 … 64 minutes are 127 minutes in 7 steps; then every 2 hours: 59 more in 5 days.
  maxMs: v.optional(milliseconds(10, DAY_MS), 2 * HOUR_MS),
  /** Share of a delay by which it may be longer or shorter, so that what failed together does not return together. */
  jitter: v.optional(
    v.pipe(v.number(), v.minValue(0, 'a share, 0 to 0.9'), v.maxValue(0.9, 'a share, 0 to 0.9')),
    0.2,
  ),
  lifetimeMs: v.optional(milliseconds(100, 30 * DAY_MS), 5 * DAY_MS),
})

/** Key and certificate in PEM: in files, or in SSM parameters (SecureString). */
const Tls = v.pipe(
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

/** What makes the instance a member of an Auto Scaling group. Which group that is, it asks. */
const Fleet = v.strictObject({
  name: text('the name of the fleet'),
  launchHook: text('the name of the lifecycle hook of launching instances'),
  terminateHook: text('the name of the lifecycle hook of terminating instances'),
  // Metadata is local and free; a spot notice comes two minutes ahead.
  pollMs: v.optional(milliseconds(50, MINUTE_MS), 5 * SECOND_MS),
  // Well within the hook's own time-out, which the group sets (an hour by default).
  heartbeatMs: v.optional(milliseconds(50, HOUR_MS), MINUTE_MS),
  // How long an outage may hold up a launch. Most are over by then, and the group allows 100 times the hook's time-out.
  launchWaitMs: v.optional(milliseconds(0, 6 * HOUR_MS), 30 * MINUTE_MS),
  // From the drain's begin to the terminate hook. Deregistration comes first: up to its delay (5 minutes on our target
  // group), and up to 5 minutes in which a Network Load Balancer goes on sending connections. Half as much in reserve.
  terminateWaitMs: v.optional(milliseconds(0, 2 * HOUR_MS), 15 * MINUTE_MS),
  // How often refusals are reported to the queue pulse; its slots are as long.
  reportMs: v.optional(milliseconds(50, MINUTE_MS), 10 * SECOND_MS),
})

/** An item of DynamoDB takes 400 KB, and a destination with a reply of 512 characters up to 1.4 KB before compression. */
const AWS_DESTINATIONS = 300

const Config = v.pipe(
  v.strictObject({
    hostname: fullHostName,
    /** Gets what is sent to postmaster@ and abuse@ of the host and of every routed domain, unless an alias matches. */
    postmaster: mailboxAddress,
    listen: v.strictObject({ smtp: SmtpListen, admin: AdminListen }),
    queue: Queue,
    aws: v.optional(Aws, {}),
    routes: Routes,
    srs: SrsSettings,
    limits: v.optional(Limits, {}),
    delivery: v.optional(Delivery, {}),
    retry: v.optional(Retry, {}),
    drain: v.optional(
      v.strictObject({ timeoutMs: v.optional(milliseconds(100, HOUR_MS), 30 * SECOND_MS) }),
      {},
    ),
    tls: v.optional(Tls),
    fleet: v.optional(Fleet),
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

/** A checked configuration, every default filled in. */
export type Config = v.InferOutput<typeof Config>

/**
 * Checks a configuration that is in `file`, or is to be written there.
 * @throws {InputError} naming every key that does not fit.
 */
export function checkConfig(file: string, value: unknown): Config {
  return checkInput(file, Config, value)
}
