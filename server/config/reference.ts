// What each configuration key means, and the reason for its default. `npm run docs` writes it into docs/server.md,
// with the units, bounds and defaults of schema.ts. The server does not import this file, to keep its bundle small.
import type * as v from 'valibot'
import type { configSchema } from './schema.ts'

type Scalar = string | number | boolean | readonly unknown[]

/** The dotted keys of an object, those of each member of a union included. */
type KeysOf<T, Prefix extends string = ''> = T extends Scalar
  ? never
  : T extends object
    ? {
        [K in keyof T & string]-?: NonNullable<T[K]> extends Scalar
          ? `${Prefix}${K}`
          : KeysOf<NonNullable<T[K]>, `${Prefix}${K}.`>
      }[keyof T & string]
    : never

export type ConfigKey = KeysOf<v.InferInput<typeof configSchema>>

/** `default` is for a default that the schema sets in code, not by `v.optional`. */
export type KeyReference = { means: string; why?: string; default?: string }

export const configReference: Record<ConfigKey, KeyReference> = {
  hostname: { means: 'Name in the greeting, in EHLO, in Received fields and in DSNs.' },
  postmaster: {
    means:
      'Gets mail for postmaster@ and abuse@ of the host and of each routed domain, unless an alias matches.',
  },
  'listen.smtp.host': { means: 'Address for SMTP.' },
  'listen.smtp.port': { means: 'Port for SMTP. Set either this or `fd`.' },
  'listen.smtp.fd': { means: 'Inherited listening socket.', why: 'The first socket of systemd is 3.' },
  'listen.admin.host': { means: 'Address for `/metrics`, `/healthz` and `/readyz`.' },
  'listen.admin.port': { means: 'Port for them. Set either this or `socket`.' },
  'listen.admin.socket': { means: 'Unix socket for them.' },
  'queue.engine': { means: 'Where the queue is: on this machine or on AWS.' },
  'queue.path': { means: 'Spool directory. It may be on a tmpfs only with `volatile: true`.' },
  'queue.volatile': { means: 'Accepts that a power cut loses the queue.' },
  'queue.maxEntries': {
    means: 'Most entries in the queue. At the limit the server answers 452.',
    why:
      'Embedded: 100,000 entries of a typical 75 KB are 7.5 GB, within the 10 GiB of `maxBytes`. ' +
      'AWS: SQS has no limit of its own; this one is two orders of magnitude above a bad day.',
  },
  'queue.maxBytes': { means: 'Most bytes in the queue. At the limit the server answers 452.' },
  'queue.flush': { means: 'Flushes each commit to disk. `false` needs `volatile: true`.' },
  'queue.readyUrl': { means: 'URL of the SQS queue for ready messages.' },
  'queue.deferredUrl': { means: 'URL of the SQS queue for deferred messages.' },
  'queue.table': { means: 'DynamoDB table for delivery state and load reports.' },
  'queue.bucket': { means: 'S3 bucket for bodies that are too large for an SQS message.' },
  'queue.inlineBytes': {
    means: 'Largest body inside an SQS message.',
    why:
      'In base64 this is 171 KiB: three billing units of SQS to send and three to receive, less than one S3 PUT. ' +
      'It is below the 256 KiB that each SQS-compatible service accepts.',
  },
  'queue.waitSeconds': {
    means: 'Duration of a long poll of SQS.',
    why: 'A drain may wait this long. An idle instance makes 0.2 requests a second.',
  },
  'queue.statsMs': {
    means: 'Time between two polls of the queue’s statistics.',
    why: 'Each poll is two requests from each instance. SQS’s counts lag by more than this.',
  },
  'aws.region': { means: 'Region of all AWS calls.', default: '`AWS_REGION`, else the instance’s region' },
  'aws.endpoints.sqs': { means: 'Endpoint of SQS, for a VPC endpoint or an emulator.' },
  'aws.endpoints.s3': { means: 'Endpoint of S3. The bucket is then part of the path.' },
  'aws.endpoints.dynamodb': { means: 'Endpoint of DynamoDB.' },
  'aws.endpoints.ssm': { means: 'Endpoint of SSM.' },
  'aws.endpoints.autoscaling': { means: 'Endpoint of EC2 Auto Scaling.' },
  'aws.endpoints.metadata': { means: 'Endpoint of the instance metadata service.' },
  'routes.file': { means: 'The routes file. Set either this, or `bucket` and `key`.' },
  'routes.bucket': { means: 'S3 bucket of the routes.' },
  'routes.key': { means: 'Key of the routes in that bucket.' },
  'routes.pollMs': {
    means: 'Time between two polls for a change.',
    default: '1 s for a file, 10 s for S3',
    why:
      'File: long enough to see a change between two writes of one edit. ' +
      'S3: 0.1 conditional requests a second cost about $0.10 a month and instance.',
  },
  'srs.domain': { means: 'Domain of rewritten reverse paths.' },
  'srs.acknowledgeAligned': {
    means: 'The organisational domain that `domain` shares with our own domains. Accepts the risk.',
  },
  'srs.secrets': {
    means: 'The first secret signs, all verify. Set either this or `secretsParameter`.',
    why: 'A secret has at least 32 characters: 128 bits even in hexadecimal.',
  },
  'srs.secretsParameter': { means: 'SSM parameter (SecureString) with one secret a line.' },
  'srs.secretsPollMs': {
    means: 'Time between two reads of `secretsParameter`.',
    default: '1 min',
    why: 'SSM allows 40 calls a second.',
  },
  'limits.messageBytes': {
    means: 'Largest message.',
    why: 'Gmail sends up to 25 MB of attachments. Base64 in lines of 76 characters: 25 MB × 4/3 × 78/76 = 34.2 MB.',
  },
  'limits.headerBytes': {
    means: 'Largest header section.',
    why: '2.5 times the 102,400 of Postfix. ARC sets and Received chains of large senders stay below 60 KB.',
  },
  'limits.recipients': {
    means: 'Most recipients of a message.',
    why: 'RFC 5321 section 4.5.3.1.8 asks for at least 100.',
  },
  'limits.destinations': {
    means: 'Most destinations of a message. With the queue on AWS at most 300.',
    why: 'Two destinations an alias on average.',
  },
  'limits.connections': {
    means: 'Most SMTP connections.',
    why: 'An idle session takes about 60 KB: 1,000 take 60 MB.',
  },
  'limits.connectionsPerClient': {
    means: 'Most connections from one IPv4 address, or from one /64 of IPv6.',
    why: 'In a storm, the outbound pools of Gmail and Outlook open up to a few dozen from one address.',
  },
  'limits.fullIdleMs': {
    means: 'Replaces `idleMs` while the connection table is full.',
    why: 'The `smtpd_timeout` of Postfix under stress: 10 s instead of 300 s.',
  },
  'limits.fullCommandsMs': {
    means: 'Replaces `commandsMs` while the connection table is full.',
    why: 'Six times `fullIdleMs`.',
  },
  'limits.refusedWindowMs': {
    means: 'A refused message counts as demand once in this time.',
    why: 'The fleet’s policy sets it.',
  },
  'limits.bufferedBytes': {
    means: 'Most memory for the messages that are being received.',
    why: 'Seven of the largest messages, or 65,536 of 4 KiB.',
  },
  'limits.readyEntries': {
    means: 'Backlog of ready entries from which MAIL gets a 451.',
    why: '10 deliveries of 0.5 s are 20 a second: 17 minutes of work.',
  },
  'limits.receivedHeaders': {
    means: 'Most Received fields of a message.',
    why: 'The `hopcount_limit` of Postfix. RFC 5321 section 6.3 asks for 100 only if nothing else detects loops.',
  },
  'limits.rejectedRecipients': {
    means: 'Unknown recipients after which the session is closed.',
    why: 'An old mailing list has a few, a dictionary attack thousands.',
  },
  'limits.nulOctets': {
    means: 'What to do with NUL octets, which RFC 5322 section 4 forbids: answer 550, or remove them.',
    why: 'Removing them breaks a signature over them.',
  },
  'limits.bouncesPerHour': {
    means: 'Most bounces to one SRS address in an hour, for each process. Then 450.',
    why: 'A sender of 100 messages an hour to a dead mailbox.',
  },
  'limits.idleMs': {
    means: 'Timeout of one command.',
    why: 'RFC 5321 section 4.5.3.2.7 asks for at least 5 minutes.',
  },
  'limits.commandsMs': {
    means: 'Longest time from the greeting, or the end of a message, to the next DATA.',
    why: '100 recipients of 3 s each, and one wait of `idleMs`.',
  },
  'limits.dataMs': {
    means: 'Longest time from DATA to the final dot.',
    why: 'The largest message at 64 kB/s, a slow ADSL uplink: 36.7 MB / 64 kB/s = 573 s.',
  },
  'delivery.concurrency': { means: 'Most deliveries in progress.' },
  'delivery.relay.host': { means: 'Host that gets all mail, instead of the MX hosts.' },
  'delivery.relay.port': { means: 'Port of that host.' },
  'delivery.mxPort': { means: 'Port of MX hosts.', why: 'Another port is for tests and unusual firewalls.' },
  'delivery.dnsServers': {
    means: 'Resolvers as `address` or `address:port`.',
    default: 'the system’s resolvers',
  },
  'delivery.allowLocalAddresses': {
    means: 'Allows MX hosts in loopback, link-local and private networks.',
    why: 'Off, so that another domain’s DNS cannot point the server at internal hosts.',
  },
  'delivery.dnsMs': { means: 'Timeout of a DNS lookup.' },
  'delivery.connectMs': { means: 'Timeout of a connection.' },
  'delivery.greetingMs': {
    means: 'Timeout of the greeting.',
    why: 'RFC 5321 section 4.5.3.2.1 asks for 5 minutes. A dead host would hold a delivery slot for that time.',
  },
  'delivery.socketMs': {
    means: 'Timeout of each reply.',
    why: 'RFC 5321 section 4.5.3.2.6: 10 minutes for the reply to the final dot.',
  },
  'delivery.transactionMs': {
    means:
      'Longest time for one message with a host. A host that sends slow replies cannot hold the slot longer.',
    why:
      'RFC 5321 section 4.5.3.2: 5 minutes for MAIL, 5 for RCPT, 2 for DATA, 10 for the reply to the dot. ' +
      'The largest message at 75 kB/s takes 8 minutes.',
  },
  'delivery.idleMs': {
    means: 'How long an idle connection is kept for the next message.',
    why: 'Several large providers close a silent session after 10 s.',
  },
  'delivery.messagesPerConnection': { means: 'Most messages over one connection.' },
  'delivery.leaseMs': {
    means: 'Length of a lease. It is extended after each third of it.',
    why: 'After a crash, other processes wait this long for the entries of the dead process.',
  },
  'delivery.pollMs': { means: 'Time between two polls for ready entries.' },
  'retry.firstMs': { means: 'First delay. Each further delay is twice as long.' },
  'retry.maxMs': {
    means: 'Longest delay.',
    why:
      'RFC 5321 section 4.5.4.1 asks for at least 30 minutes between attempts in the long run. ' +
      '1, 2, 4 … 64 minutes are 127 minutes in 7 steps. Then every 2 hours: 59 more in 5 days.',
  },
  'retry.jitter': {
    means: 'Random share by which a delay is longer or shorter.',
    why: 'Messages that failed together are not retried together.',
  },
  'retry.lifetimeMs': {
    means: 'Age at which the server gives up and sends a DSN.',
    why: 'RFC 5321 section 4.5.4.1: 4 to 5 days.',
  },
  'drain.timeoutMs': { means: 'Longest time from the stop signal to the end of all work.' },
  'tls.keyFile': { means: 'TLS key in PEM. Turns STARTTLS on. Needs `certFile`.' },
  'tls.certFile': { means: 'Its certificate in PEM.' },
  'tls.keyParameter': { means: 'SSM parameter (SecureString) of the key, instead of a file.' },
  'tls.certParameter': { means: 'SSM parameter of the certificate.' },
  'fleet.name': { means: 'Name of the fleet. The log line `listening` has it.' },
  'fleet.launchHook': { means: 'Lifecycle hook of launching instances.' },
  'fleet.terminateHook': { means: 'Lifecycle hook of terminating instances.' },
  'fleet.pollMs': {
    means: 'Time between two reads of the target state and of the spot notice.',
    why: 'The metadata service is local and free. A spot notice comes two minutes ahead.',
  },
  'fleet.heartbeatMs': {
    means: 'Time between two heartbeats to a hook.',
    why: 'Well below the timeout of the hook, which the group sets (an hour by default).',
  },
  'fleet.launchWaitMs': {
    means: 'How long an outage may delay the launch of an instance.',
    why: 'Most outages are shorter. The group allows 100 times the timeout of the hook.',
  },
  'fleet.terminateWaitMs': {
    means: 'Longest wait for the terminate hook, from the start of the drain.',
    why:
      'Deregistration takes up to its delay, 5 minutes on our target group. ' +
      'For up to 5 more minutes a Network Load Balancer may send connections. The rest is a reserve.',
  },
  'fleet.reportMs': {
    means: 'Time between two load reports to the queue pulse.',
    why: 'The slots of the pulse are as long.',
  },
}
